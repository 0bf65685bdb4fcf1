//! Sleep: a gateway with nothing to do replaces itself by a form that only holds its sockets.
//!
//! ```text
//!            quiet for `sleep`                          a packet, a signal
//!   awake ── House::sleep ─▶ Bed ── execve ─▶ parked ── wait ── execve ─▶ woken ── settled ─▶ awake
//!                                               ▲                           │
//!                                               └── failed: rests, then 503 ┘
//! ```
//! Same process, same descriptors; what one form has to tell the other lies in a memory file
//! ([`plan`]). Where a service manager holds all sockets the process leaves instead.
//!
//! A process that hands over to the next ([`heir`]) does the same, but that it turns a child of its own
//! into the other form, and goes when that one serves.

mod bed;
mod guard;
mod heir;
mod hush;
mod plan;
pub(crate) mod state;
mod wait;
mod woken;

pub use self::bed::{Bed, Program};
pub(crate) use self::bed::{Canned, Held};
pub(crate) use self::heir::Heir;
pub(crate) use self::hush::{hush, rouse};
pub(crate) use self::plan::{Kind, answers};
pub use self::wait::enter;
pub use self::woken::Woken;
pub(crate) use self::woken::{block_signals, reason};

/// What tells a process which form it is: the form's letter, then the number of the plan's descriptor.
pub const VARIABLE: &str = "PILOTLIGHT_SLEEP";
/// The form that waits.
const PARKED: u8 = b'p';
/// The form that was woken.
const WOKEN: u8 = b'w';
/// The form that takes over from a process that still serves.
const HEIR: u8 = b'h';
