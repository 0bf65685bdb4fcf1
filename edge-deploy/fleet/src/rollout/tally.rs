//! Counts of a wave, kept by one function: what a node adds to them is a function of its step.

use serde::{Deserialize, Serialize};

use super::event::Failure;
use super::member::{Member, Step};
use super::{Command, Note, Rollout};
use crate::evidence::Sample;

/// Counts of a wave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Its turn has not come, or it is away.
    pub waiting: usize,
    /// Within reach, and has not tried yet.
    pub open: usize,
    /// Has tried.
    pub tried: usize,
    /// Has it.
    pub committed: usize,
    /// Has it, or may have.
    pub taken: usize,
    /// Tried, and failed, by kind.
    pub failed: [usize; Failure::ALL.len()],
    /// What its nodes served before the switch.
    pub before: Sample,
}

impl Tally {
    /// Failures of any kind.
    pub fn failures(&self) -> usize {
        self.failed.iter().sum()
    }

    pub(super) fn count(&mut self, member: &Member, add: bool) {
        let step = member.step;
        let open = member.queued || matches!(step, Step::Offered | Step::Ready | Step::Permitted);
        let committed = step == Step::Committed;
        let tried = matches!(step, Step::Switching | Step::Committed | Step::Reverted)
            || step.failure().is_some();
        let failed = step.failure().and_then(|failure| self.failed.get_mut(failure as usize));
        let count = |sum: &mut usize, is: bool| {
            *sum = if add { *sum + usize::from(is) } else { *sum - usize::from(is) };
        };
        if let Some(failed) = failed {
            count(failed, true);
        }
        count(&mut self.waiting, matches!(step, Step::Waiting | Step::Silent));
        count(&mut self.open, open);
        count(&mut self.tried, tried);
        count(&mut self.committed, committed);
        count(&mut self.taken, step.took());
    }
}

impl Rollout {
    /// Changes a node, and all counts with it.
    pub(super) fn change(&mut self, node: usize, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.members.get_mut(node) else { return };
        let group = self.plan.nodes.get(node).map_or(0, |turn| turn.group);
        let (Some(tally), Some(held)) =
            (self.tallies.get_mut(member.wave), self.held.get_mut(group))
        else {
            return;
        };
        tally.count(member, false);
        *held -= usize::from(member.step.holds());
        change(member);
        tally.count(member, true);
        *held += usize::from(member.step.holds());
        if member.step.flies() {
            self.flight.insert(node);
        } else {
            self.flight.remove(&node);
        }
    }

    /// Brings a node to another step.
    pub(super) fn bring(&mut self, node: usize, step: Step, out: &mut Vec<Command>) {
        let Some(member) = self.members.get(node) else { return };
        let (old, wave, now) = (member.step, member.wave, self.now);
        if old == step {
            return;
        }
        self.change(node, |member| {
            (member.step, member.since, member.queued) = (step, now, false);
        });
        if step == Step::Ready {
            let group = self.plan.nodes.get(node).map_or(0, |turn| turn.group);
            if let Some(ready) = self.ready.get_mut(group) {
                ready.push_back(node);
            }
        }
        if step == Step::Committed {
            self.pace.committed(&self.plan.rollout.pace);
        }
        if let Some(failure) = step.failure() {
            out.push(Command::Note(Note::Failed { node, failure }));
        }
        // Who only waits or is told something changes nothing that a rule could look at.
        if step.failure().is_some() || matches!(step, Step::Switching | Step::Committed) {
            self.check(wave, out);
        }
    }
}
