//! One simulated node: what an agent does, in so many words.

use crate::rollout::{Command, Failure, Reported};

/// A node.
#[derive(Debug, Clone)]
pub(super) struct Sim {
    /// Whether it has a network.
    pub(super) online: bool,
    /// What it has.
    pub(super) own: Own,
    /// What was wished last.
    pub(super) wish: Option<Wish>,
    /// What it has to say, until it has been heard.
    pub(super) says: Option<Reported>,
    /// How the release fails here.
    pub(super) fate: Option<Failure>,
    /// What was planned for another of these is void.
    pub(super) epoch: u32,
    /// When it asks again what it should run.
    pub(super) polls: Option<u64>,
    /// When it was last asked what it served.
    pub(super) sampled: u64,
}

/// What it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// What it had.
    Old,
    /// The release is being fetched.
    Fetching,
    /// The release is checked.
    Staged,
    /// It is about to switch, and says so.
    Asking,
    /// It has switched.
    Probation,
    /// It has the release for good.
    New,
    /// It goes back, for this reason.
    Back(Reported),
    /// It has gone back, and will not try again.
    Done,
}

/// What is wished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Fetch,
    /// Until then.
    Switch(u64),
    Nothing,
    Revert,
}

/// What comes to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happens {
    /// It asks what it should run.
    Poll,
    /// It hears what is wished.
    Hears,
    /// The release is there.
    Fetched,
    /// It has gone back.
    Returned,
    /// Probation is over.
    Proven,
    /// It loses its network.
    Leaves,
    /// It has a network again.
    Comes,
}

impl Sim {
    pub(super) fn new(fate: Option<Failure>) -> Sim {
        Sim {
            online: true,
            own: Own::Old,
            wish: None,
            says: None,
            fate,
            epoch: 0,
            polls: None,
            sampled: 0,
        }
    }

    /// Whether it runs the release.
    pub(super) fn runs(&self) -> bool {
        matches!(self.own, Own::Probation | Own::New | Own::Back(_))
    }

    /// Whether it is away from its work: it runs what is not proven.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.own, Own::Probation | Own::Back(Reported::Failed(_)))
    }
}

impl Wish {
    /// What a command wishes of which node.
    pub(super) fn of(command: &Command, now: u64) -> Option<(usize, Wish)> {
        Some(match *command {
            Command::Offer { node } => (node, Wish::Fetch),
            Command::Switch { node, lease } => (node, Wish::Switch(now + lease)),
            Command::Withdraw { node } => (node, Wish::Nothing),
            Command::Revert { node } => (node, Wish::Revert),
            Command::Note(_) => return None,
        })
    }
}
