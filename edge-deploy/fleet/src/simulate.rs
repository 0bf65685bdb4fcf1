//! A fleet that is made up: the same decisions as a controller's, over simulated nodes, faults and time.
//!
//! All chance comes from the seed, so the same seed gives the same run, event by event; its log's digest
//! shows it.

use std::fmt;

use crate::manifest::Faults;
use crate::plan::{Digest, Plan};
use crate::rollout::{Failure, Note, Outcome, Rollout};

mod chance;
mod inventory;
mod node;
mod world;

pub use inventory::inventory;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Who gets what.
    pub plan: Plan,
    /// What goes wrong.
    pub faults: Faults,
    /// Where chance comes from.
    pub seed: u64,
    /// When it begins: seconds since 1970.
    pub wall: i64,
    /// Whether a simulated operator approves what waits for it, after a minute.
    pub approve: bool,
}

/// How it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// How the rollout ended; `None` when it was paused and nobody came.
    pub outcome: Option<Outcome>,
    /// Why it was paused, then.
    pub paused: Option<String>,
    /// Milliseconds that it took.
    pub took: u64,
    /// Nodes that were in it.
    pub nodes: usize,
    /// Nodes that run the release, in truth: also those that were not heard of since.
    pub running: usize,
    /// Nodes that have said that they have it for good.
    pub committed: usize,
    /// Nodes that failed, by kind.
    pub failed: Vec<(Failure, usize)>,
    /// Nodes that went back because they were told to.
    pub reverted: usize,
    /// Nodes that never had their turn, or were away.
    pub untouched: usize,
    /// Events that the rollout took.
    pub events: u64,
    /// What must not be, and was.
    pub violations: Vec<String>,
    /// Of all events and commands, in order.
    pub log: Digest,
}

/// Runs it to its end. `tell` gets what is worth being told, with its time in milliseconds.
pub fn run(setup: Setup, tell: &mut dyn FnMut(u64, &Note, &Rollout)) -> Summary {
    world::World::new(setup).run(tell)
}

/// For people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = match (&self.outcome, &self.paused) {
            (Some(outcome), _) => outcome.name().to_owned(),
            (None, Some(why)) => format!("paused: {why}"),
            (None, None) => "waits for approval".into(),
        };
        writeln!(f, "{ended} after {}", clock(self.took))?;
        writeln!(f, "  {:>8} nodes", self.nodes)?;
        writeln!(f, "  {:>8} have committed", self.committed)?;
        writeln!(f, "  {:>8} went back", self.reverted)?;
        for (failure, count) in self.failed.iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "  {count:>8} failed: {}", failure.name())?;
        }
        writeln!(f, "  {:>8} were not reached", self.untouched)?;
        for violation in &self.violations {
            writeln!(f, "violated: {violation}")?;
        }
        writeln!(f, "{} events, log {}", self.events, self.log)
    }
}

/// Milliseconds as days, hours, minutes and seconds.
pub fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    let days = if days > 0 { format!("{days}d ") } else { String::new() };
    format!("{days}{hours:02}:{minutes:02}:{seconds:02}")
}

#[cfg(test)]
mod tests;
