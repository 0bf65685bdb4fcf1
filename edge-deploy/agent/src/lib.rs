//! What a fleet's node does with a release, and what its launcher does: decisions, without a network, a clock
//! or a disk of their own.
//!
//! ```text
//! fetch ─▶ verify ─▶ lay out ─▶ test ─▶ (leave) ─▶ pointer: trial ─▶ reload ─▶ probation ─┬▶ commit
//!                                                       ▲                                 └▶ back
//!                                     power cut: the launcher tries it once more, then goes back
//! ```
//! [`Agent`] makes one step at a time. All that must outlive a power cut is one record, the [`Pointer`], which is
//! written to two slots in turn; what it names was synced before. [`launch`] reads it when the node
//! starts, and needs nothing else: neither the agent nor a network.

mod agent;
mod blobs;
pub mod delta;
mod files;
pub mod launch;
mod pointer;
mod stage;
mod trust;
mod watch;

pub use agent::{Agent, Next, Settings};
pub use files::Files;
pub use pointer::{Generation, Pointer, Trial};
pub use trust::{Anchor, Followed};
pub use watch::{Counters, Observation};

use std::io;

use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::Release;

/// The folder of generations.
pub const GENERATIONS: &str = "generations";

/// What an agent reaches: sources of content, and the gateway beside it.
pub trait World {
    /// A release's signed form, from a source; `attempt` says which of several is asked first.
    fn release(&mut self, name: &str, version: &str, attempt: usize) -> Result<Vec<u8>, Trouble>;

    /// Gives what sources have as the root of this version, with their names, one after the other until one is
    /// taken.
    fn root(&mut self, version: u64, attempt: usize, take: &mut dyn FnMut(&str, &[u8]) -> bool);

    /// A blob from this byte on, in parts.
    fn blob(
        &mut self,
        blob: (&Digest, u64),
        from: u64,
        attempt: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Trouble>;

    /// The whole path of the file with a secret, if the node has it.
    fn secret(&self, name: &str) -> Option<String>;

    /// The time in seconds after 1970, and whether the clock may be right. `past` is a time that is past: by it
    /// certificates are judged, whatever the clock says.
    fn time(&mut self, past: i64) -> (i64, bool);

    /// For which machine code must be made.
    fn target(&mut self) -> String;

    /// The gateway's version.
    fn version(&mut self) -> Option<String>;

    /// Tries a release that is laid out: the gateway's check, then its tests.
    fn test(&mut self, generation: &Generation, release: &Release) -> Result<(), Trouble>;

    /// Makes the gateway run this generation, in a process that was started for it if the pointer wants another start
    /// (`starts`) than it has.
    fn switch(&mut self, generation: &Generation, starts: u64) -> Result<(), String>;

    /// Whether somebody is there who can start the gateway.
    fn is_launched(&mut self) -> bool;

    /// How the gateway does.
    fn observe(&mut self) -> Observation;
}

/// Why a step cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It may go in a while: the network, a server.
    Passing(String),
    /// The node lacks something: room, a secret, a value. No fault of the release.
    Lacking(String),
    /// The release is bad, and stays it.
    Bad(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Lacking(format!("the disk: {error}"))
    }
}
