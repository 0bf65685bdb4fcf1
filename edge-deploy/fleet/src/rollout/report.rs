//! What nodes say. It may come late, twice, or not at all; what a node says it runs is what it runs.

use super::event::{Command, Failure, Reported};
use super::member::Step;
use super::{Phase, Rollout, millis};
use crate::evidence::Sample;

impl Rollout {
    /// A node is there.
    pub(super) fn seen(&mut self, node: usize, out: &mut Vec<Command>) {
        let now = self.now;
        let Some(member) = self.members.get_mut(node) else { return };
        member.seen = Some(now);
        let step = member.step;
        if self.is_over() {
            // Who comes back with a release that was taken back is told so, however late.
            if self.is_reverting() && step.took() && step != Step::Permitted {
                out.push(Command::Revert { node });
            }
            return;
        }
        self.enqueue(node);
    }

    /// Puts a node into the queue for an offer, if it is its turn.
    pub(super) fn enqueue(&mut self, node: usize) {
        let within = millis(self.plan.rollout.offline.reachable);
        let Some(member) = self.members.get(node) else { return };
        let fine = member.step == Step::Waiting && !member.queued && !member.held;
        if fine && self.has_begun(member.wave) && member.is_there(self.now, within) {
            self.change(node, |member| member.queued = true);
            self.due.push_back(node);
        }
    }

    /// Whether nodes of this wave may have the release.
    pub(super) fn has_begun(&self, wave: usize) -> bool {
        let late = self.plan.waves.len();
        match self.phase {
            Phase::Approval { wave: now } => wave < now || wave == late && now > 0,
            Phase::Wave { wave: now, .. } => wave <= now || wave == late && now > 0,
            Phase::Converging => true,
            Phase::Reverting | Phase::Ended(_) => false,
        }
    }

    pub(super) fn report(&mut self, node: usize, reported: Reported, out: &mut Vec<Command>) {
        let Some(member) = self.members.get(node) else { return };
        let (step, wave) = (member.step, member.wave);
        let took = step.took() && step != Step::Permitted;
        // Where a node is that has the release at hand, and where one that has lost it.
        let (staged, empty) = match self.is_over() {
            true => (Step::Waiting, Step::Waiting),
            false => (Step::Ready, Step::Offered),
        };
        let next = match reported {
            Reported::Idle if self.is_reverting() && took => Step::Reverted,
            // It was switched, and is not any more.
            Reported::Idle if took => Step::Failed(Failure::RolledBack),
            // What it had fetched is gone.
            Reported::Idle if matches!(step, Step::Ready | Step::Permitted) => empty,
            Reported::Idle => step,
            Reported::Ready => match step {
                Step::Offered | Step::Switching | Step::Silent => staged,
                Step::Waiting if self.has_begun(wave) => Step::Ready,
                _ => step,
            },
            // Said twice, it does not begin anew.
            Reported::Switching if step == Step::Silent => step,
            Reported::Switching => Step::Switching,
            Reported::Committed => Step::Committed,
            Reported::Rejected => Step::Failed(Failure::Rejected),
            Reported::Failed(_) if self.is_reverting() && took => Step::Reverted,
            Reported::Failed(failure) => Step::Failed(failure),
            Reported::Reverted => Step::Reverted,
        };
        let was_over = matches!(self.phase, Phase::Ended(_));
        // A failure that was counted stays what it was first.
        if !(step.failure().is_some_and(|f| f != Failure::Silent) && next.failure().is_some()) {
            self.bring(node, next, out);
        }
        self.seen(node, out);
        if !was_over {
            self.settle(out);
        }
    }

    /// What a node has served counts for the side that it was on.
    pub(super) fn sample(&mut self, node: usize, sample: &Sample) {
        let Some(member) = self.members.get(node) else { return };
        let soaking = match self.phase {
            Phase::Wave { wave, soaking: Some(_), .. } => Some(wave),
            _ => None,
        };
        match member.step {
            Step::Committed if soaking == Some(member.wave) => self.trial.add(sample),
            Step::Waiting | Step::Offered | Step::Ready => {
                if soaking.is_some_and(|wave| member.wave > wave) {
                    self.control.add(sample);
                }
                if let Some(tally) = self.tallies.get_mut(member.wave) {
                    tally.before.add(sample);
                }
            }
            _ => {}
        }
    }

    /// Whether those who took it go back, or have.
    pub(super) fn is_reverting(&self) -> bool {
        use super::Outcome::Reverted;
        matches!(self.phase, Phase::Reverting | Phase::Ended(Reverted))
    }
}
