//! What happens to a rollout, and what it wants done.

use serde::{Deserialize, Serialize};

use crate::evidence::{Sample, Verdict};
use crate::manifest::Fleet;
use crate::plan::{Node, Plan};

/// The time, twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Milliseconds that the controller has run, over all its lives: it stands still while nobody looks, so that
    /// nothing soaks unseen. Everything that takes time is measured by it.
    pub steady: u64,
    /// Seconds since 1970, for windows, and nothing else.
    pub wall: i64,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// Time has gone by. Everything that waits is looked at: about once a second.
    Tick,
    /// A node has asked what it should run.
    Seen {
        /// Which.
        node: usize,
    },
    /// A node says where it is.
    Report {
        /// Which.
        node: usize,
        /// Where.
        reported: Reported,
    },
    /// What a node has served since its last sample.
    Sample {
        /// Which.
        node: usize,
        /// What.
        sample: &'a Sample,
    },
    /// A node has enrolled, or is a target now.
    Join {
        /// Holds.
        fleet: &'a Fleet,
        /// The node.
        node: &'a Node,
    },
    /// A node is held, or no longer.
    Hold {
        /// Which.
        node: usize,
        /// Whether it is.
        held: bool,
    },
    /// An operator agrees.
    Approve {
        /// Who.
        by: &'a str,
    },
    /// An operator stops it for now.
    Pause {
        /// Who.
        by: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// An operator lets it go on.
    Resume {
        /// Who.
        by: &'a str,
    },
    /// An operator takes it back: `abort` while it goes on, `revert` also when it is done.
    Revert {
        /// Who.
        by: &'a str,
        /// Why.
        reason: &'a str,
    },
}

/// Where a node is, as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reported {
    /// It runs what it ran before, and has nothing else.
    Idle,
    /// The release is there and checked.
    Ready,
    /// It is about to switch, or has.
    Switching,
    /// It has the release for good.
    Committed,
    /// It refuses the release, and has not switched.
    Rejected,
    /// It has gone back by itself.
    Failed(Failure),
    /// It has gone back because it was told to.
    Reverted,
}

/// Why a node does not have the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Failure {
    /// It was refused before the switch: its content, its tests.
    Rejected,
    /// The gateway crashed again and again.
    CrashLoop,
    /// It did not become ready.
    Probe,
    /// Too many errors in probation.
    Slo,
    /// The node has not been heard of since the switch.
    Silent,
    /// It went back for another reason: its controller was out of reach, the power failed twice.
    RolledBack,
}

impl Failure {
    /// All kinds, in order.
    pub const ALL: [Failure; 6] = [
        Failure::Rejected,
        Failure::CrashLoop,
        Failure::Probe,
        Failure::Slo,
        Failure::Silent,
        Failure::RolledBack,
    ];

    /// As manifests and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Failure::Rejected => "rejected",
            Failure::CrashLoop => "crash_loop",
            Failure::Probe => "probe",
            Failure::Slo => "slo",
            Failure::Silent => "silent",
            Failure::RolledBack => "rolled_back",
        }
    }
}

/// What a rollout wants done. Commands are wishes for a node's state: one that is given twice does no harm, and
/// of several the last counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Fetch the release and check it; do not switch.
    Offer {
        /// Which node.
        node: usize,
    },
    /// Switch, and say so first, within `lease` milliseconds; later the leave is gone.
    Switch {
        /// Which node.
        node: usize,
        /// So long.
        lease: u64,
    },
    /// Do not switch any more.
    Withdraw {
        /// Which node.
        node: usize,
    },
    /// Go back to what ran before.
    Revert {
        /// Which node.
        node: usize,
    },
    /// To be written down.
    Note(Note),
}

/// What is worth being written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Note {
    /// A wave waits for an operator.
    Asks {
        /// Which wave.
        wave: usize,
    },
    /// An operator has agreed.
    Approved {
        /// Which wave.
        wave: usize,
        /// Who.
        by: String,
    },
    /// A wave begins.
    Begins {
        /// Which.
        wave: usize,
    },
    /// Enough of a wave has committed: it soaks.
    Soaks {
        /// Which.
        wave: usize,
    },
    /// A gate has been judged.
    Judged {
        /// Of which wave.
        wave: usize,
        /// How.
        verdict: Verdict,
    },
    /// A node failed.
    Failed {
        /// Which.
        node: usize,
        /// How.
        failure: Failure,
    },
    /// A node joined late.
    Joined {
        /// Which.
        node: usize,
    },
    /// Nothing further begins: why.
    Paused(String),
    /// It goes on: by whom.
    Resumed(String),
    /// All who took it go back: why.
    Reverting(String),
    /// It is over.
    Ended(Outcome),
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It passed all gates.
    Done,
    /// Nobody has it, but for nodes that are away; they go back when they come.
    Reverted,
    /// It did not get through all waves in its time.
    Expired,
}

impl Note {
    /// For people.
    pub fn text(&self, plan: &Plan) -> String {
        let wave = |wave: &usize| format!("wave {}", plan.wave_name(*wave));
        let node = |node: &usize| plan.nodes.get(*node).map_or("", |turn| turn.id.as_str());
        match self {
            Note::Asks { wave: at } => format!("{} waits for approval", wave(at)),
            Note::Approved { wave: at, by } => format!("{} is approved by {by}", wave(at)),
            Note::Begins { wave: at } => format!("{} begins", wave(at)),
            Note::Soaks { wave: at } => format!("{} soaks", wave(at)),
            Note::Judged { wave: at, verdict } => match verdict {
                Verdict::Pass => format!("{} passes", wave(at)),
                Verdict::Fail(why) => format!("{} fails: {why}", wave(at)),
                Verdict::Inconclusive(why) => format!("{} is held: {why}", wave(at)),
            },
            Note::Failed { node: at, failure } => {
                format!("{} failed: {}", node(at), failure.name())
            }
            Note::Joined { node: at } => format!("{} joins", node(at)),
            Note::Paused(why) => format!("paused: {why}"),
            Note::Resumed(by) => format!("resumed by {by}"),
            Note::Reverting(why) => format!("all who took it go back: {why}"),
            Note::Ended(outcome) => outcome.name().into(),
        }
    }
}

impl Outcome {
    /// As reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Reverted => "reverted",
            Outcome::Expired => "expired",
        }
    }
}
