//! A rollout as it goes: a machine that takes events and gives commands.
//!
//! ```text
//! Approval ─▶ Wave: offers and switches ─▶ soak, judged ─▶ next wave ... ─▶ Converging ─▶ Ended(Done)
//!     any of these, by a rule, a gate or an operator ─▶ Reverting ─▶ Ended(Reverted)
//! ```
//! [`Rollout::step`] is all there is. It reads no clock ([`Now`] is an argument, and only ever measures how
//! long something took), and what a node says of itself overrides what the machine believes of it. Its state
//! is plain data: a store keeps it, and another controller goes on with it.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::evidence::Sample;
use crate::manifest::Fleet;
use crate::plan::{Node, Plan};

mod abort;
mod event;
mod gate;
mod member;
mod operate;
mod pace;
mod report;
mod tally;
mod turn;

pub use event::{Command, Event, Failure, Note, Now, Outcome, Reported};
pub use member::{Member, Step};
pub use tally::Tally;

use operate::millis;
use pace::Pace;

/// Where a rollout is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    /// An operator must say yes before this wave.
    Approval {
        /// The wave.
        wave: usize,
    },
    /// A wave is under way.
    Wave {
        /// Which.
        wave: usize,
        /// When it began, or was resumed.
        since: u64,
        /// When enough of it had committed.
        soaking: Option<u64>,
    },
    /// All waves have passed; those who were away get it as they come.
    Converging,
    /// All who took it go back.
    Reverting,
    /// It is over.
    Ended(Outcome),
}

/// A rollout: its plan, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    plan: Plan,
    phase: Phase,
    /// Why nothing begins.
    paused: Option<String>,
    /// Who started it.
    starter: String,
    /// When it began to have its way: begin, or begin to revert.
    began: u64,
    /// The latest time that was seen.
    now: u64,
    members: Vec<Member>,
    /// A row for each wave, and one for late joiners.
    tallies: Vec<Tally>,
    /// Nodes of each group that are, or may be, away from their work.
    held: Vec<usize>,
    /// Nodes that may be offered the release, in their order. May hold some that have gone.
    due: VecDeque<usize>,
    /// Nodes of each group that wait to switch.
    ready: Vec<VecDeque<usize>>,
    /// Nodes that were offered the release and have not come to an end.
    flight: BTreeSet<usize>,
    pace: Pace,
    /// What the wave that soaks has seen, and in the same minutes those without the release.
    trial: Sample,
    control: Sample,
    /// For each rule, the failures that an operator has seen and gone on with.
    acknowledged: Vec<u64>,
}

impl Rollout {
    /// A rollout of this plan, begun by an operator.
    pub fn new(plan: Plan, starter: &str, now: Now) -> (Rollout, Vec<Command>) {
        let mut members = vec![Member::new(plan.waves.len()); plan.nodes.len()];
        let mut tallies = vec![Tally::default(); plan.waves.len() + 1];
        for (wave, (nodes, tally)) in plan.waves.iter().zip(&mut tallies).enumerate() {
            for member in members.get_mut(nodes.clone()).into_iter().flatten() {
                member.wave = wave;
                tally.count(member, true);
            }
        }
        let mut rollout = Rollout {
            phase: Phase::Converging,
            paused: None,
            starter: starter.into(),
            began: now.steady,
            now: now.steady,
            members,
            tallies,
            held: vec![0; plan.groups.len()],
            due: VecDeque::new(),
            ready: vec![VecDeque::new(); plan.groups.len()],
            flight: BTreeSet::new(),
            pace: Pace::new(&plan.rollout.pace, now.steady),
            trial: Sample::default(),
            control: Sample::default(),
            acknowledged: vec![0; plan.rollout.abort.len()],
            plan,
        };
        let mut out = Vec::new();
        rollout.enter(0, &mut out);
        (rollout, out)
    }

    /// Takes an event. Time does not go back: an earlier one counts as the latest that was seen.
    pub fn step(&mut self, event: Event<'_>, now: Now) -> Vec<Command> {
        self.now = self.now.max(now.steady);
        let mut out = Vec::new();
        match event {
            Event::Tick => self.tick(now.wall, &mut out),
            Event::Seen { node } => self.seen(node, &mut out),
            Event::Report { node, reported } => self.report(node, reported, &mut out),
            Event::Sample { node, sample } => self.sample(node, sample),
            Event::Join { fleet, node } => self.join(fleet, node, &mut out),
            Event::Hold { node, held } => self.hold(node, held, &mut out),
            Event::Approve { by } => self.approve(by, &mut out),
            Event::Pause { by, reason } => self.pause(format!("{by}: {reason}"), &mut out),
            Event::Resume { by } => self.resume(by, &mut out),
            Event::Revert { by, reason } => self.revert(format!("{by}: {reason}"), &mut out),
        }
        out
    }

    /// Its plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it is.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Why nothing begins.
    pub fn paused(&self) -> Option<&str> {
        self.paused.as_deref()
    }

    /// What is known of a node.
    pub fn member(&self, node: usize) -> Option<&Member> {
        self.members.get(node)
    }

    /// Its nodes, in the order of the plan; late joiners come last.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Counts of each wave, and of late joiners.
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// Nodes of a group that are, or may be, away from their work.
    pub fn held(&self, group: usize) -> usize {
        self.held.get(group).copied().unwrap_or(0)
    }

    /// Nodes that have the release, or may have.
    pub fn taken(&self) -> usize {
        self.tallies.iter().map(|tally| tally.taken).sum()
    }

    /// A node that enrolled after the plan was made.
    fn join(&mut self, fleet: &Fleet, node: &Node, out: &mut Vec<Command>) {
        use crate::manifest::LateJoiners::Exclude;
        if self.plan.rollout.late_joiners == Exclude || self.is_over() {
            return;
        }
        let Ok(at) = self.plan.join(fleet, node) else { return };
        let member = Member::new(self.plan.waves.len());
        if let Some(tally) = self.tallies.get_mut(member.wave) {
            tally.count(&member, true);
        }
        self.members.push(member);
        self.held.resize(self.plan.groups.len(), 0);
        self.ready.resize(self.plan.groups.len(), VecDeque::new());
        out.push(Command::Note(Note::Joined { node: at }));
        self.seen(at, out);
    }

    /// Whether time alone would change nothing but a soak or an end.
    pub fn is_idle(&self) -> bool {
        self.flight.is_empty() && self.due.is_empty()
    }

    /// Whether nothing new can begin.
    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Reverting | Phase::Ended(_))
    }
}

#[cfg(test)]
mod tests;
