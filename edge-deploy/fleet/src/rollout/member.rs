//! One node of a rollout.

use serde::{Deserialize, Serialize};

use super::event::Failure;

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// How far it is.
    pub step: Step,
    /// Its wave; one more than there are for those who joined late.
    pub wave: usize,
    /// When it was last heard of.
    pub seen: Option<u64>,
    /// When it came to this step.
    pub since: u64,
    /// It stands in the queue for an offer.
    pub queued: bool,
    /// An operator holds it.
    pub held: bool,
}

/// How far a node is.
///
/// ```text
/// Waiting ─▶ Offered ─▶ Ready ─▶ Permitted ─▶ Switching ─▶ Committed
///    ▲          │         │          │            ├─▶ Silent ─▶ (heard of again)
///    └──────────┴─────────┴──────────┘            └─▶ Failed        all who took it ─▶ Reverted
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Its turn has not come, or it is away.
    Waiting,
    /// It fetches and checks the release.
    Offered,
    /// It could switch.
    Ready,
    /// It may switch.
    Permitted,
    /// It has switched, and is on probation.
    Switching,
    /// It has not been heard of since the switch.
    Silent,
    /// It has the release.
    Committed,
    /// It refused the release, or went back by itself.
    Failed(Failure),
    /// It went back because it was told to.
    Reverted,
}

impl Step {
    /// Whether it has the release, or may have.
    pub fn took(self) -> bool {
        matches!(self, Step::Permitted | Step::Switching | Step::Silent | Step::Committed)
    }

    /// Whether it is, or may be, away from its work.
    pub fn holds(self) -> bool {
        matches!(self, Step::Permitted | Step::Switching | Step::Silent)
    }

    /// Whether time alone may move it on.
    pub(super) fn flies(self) -> bool {
        matches!(self, Step::Offered | Step::Ready | Step::Permitted | Step::Switching)
    }

    /// How it failed.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Step::Failed(failure) => Some(failure),
            Step::Silent => Some(Failure::Silent),
            _ => None,
        }
    }
}

impl Member {
    pub(super) fn new(wave: usize) -> Member {
        Member { step: Step::Waiting, wave, seen: None, since: 0, queued: false, held: false }
    }

    /// Whether it was heard of within this time.
    pub(super) fn is_there(&self, now: u64, within: u64) -> bool {
        self.seen.is_some_and(|seen| now.saturating_sub(seen) <= within)
    }
}
