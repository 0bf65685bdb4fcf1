//! What operators, rules and gates do to a rollout.

use std::time::Duration;

use super::event::{Command, Note, Outcome};
use super::{Phase, Rollout, Step};
use crate::manifest::{Action, Approve, Lane};

impl Rollout {
    pub(super) fn act(&mut self, action: Action, why: String, out: &mut Vec<Command>) {
        match action {
            Action::Revert => self.revert(why, out),
            Action::Pause => self.pause(why, out),
        }
    }

    /// Nothing further begins; who has begun goes on by itself.
    pub(super) fn pause(&mut self, why: String, out: &mut Vec<Command>) {
        if self.paused.is_none() && !self.is_over() {
            out.push(Command::Note(Note::Paused(why.clone())));
            self.paused = Some(why);
        }
    }

    pub(super) fn resume(&mut self, by: &str, out: &mut Vec<Command>) {
        if self.paused.take().is_none() {
            return;
        }
        let kinds: Vec<_> = self.plan.rollout.abort.iter().map(|rule| rule.kind).collect();
        self.acknowledged = kinds.into_iter().map(|kind| self.failures(kind)).collect();
        // The wave has its time again, and soaks anew.
        if let Phase::Wave { since, soaking, .. } = &mut self.phase {
            (*since, *soaking) = (self.now, None);
        }
        out.push(Command::Note(Note::Resumed(by.into())));
    }

    pub(super) fn approve(&mut self, by: &str, out: &mut Vec<Command>) {
        let Phase::Approval { wave } = self.phase else { return };
        let named = match self.approvers(wave) {
            Some(Approve::One(names)) => names.iter().any(|name| name == by),
            _ => true,
        };
        // In an emergency two people look, not one twice.
        let other = self.plan.rollout.lane == Lane::Normal || by != self.starter;
        if named && other {
            out.push(Command::Note(Note::Approved { wave, by: by.into() }));
            self.begin(wave, out);
        }
    }

    pub(super) fn hold(&mut self, node: usize, held: bool, out: &mut Vec<Command>) {
        let Some(step) = self.members.get(node).map(|member| member.step) else { return };
        self.change(node, |member| member.held = held);
        if held && matches!(step, Step::Offered | Step::Ready) {
            self.bring(node, Step::Waiting, out);
            out.push(Command::Withdraw { node });
        } else if !held {
            self.enqueue(node);
        }
    }

    /// All who took it go back: first those on probation, then those who have it. It needs no leave, no window
    /// and no budget, for what ran before is there and known to work.
    pub(super) fn revert(&mut self, why: String, out: &mut Vec<Command>) {
        if self.is_reverting() {
            return;
        }
        (self.phase, self.paused, self.began) = (Phase::Reverting, None, self.now);
        self.due.clear();
        out.push(Command::Note(Note::Reverting(why)));
        let mut later = Vec::new();
        for node in 0..self.members.len() {
            let Some(step) = self.members.get(node).map(|member| member.step) else { continue };
            match step {
                Step::Switching | Step::Silent => out.push(Command::Revert { node }),
                Step::Committed => later.push(Command::Revert { node }),
                Step::Offered | Step::Ready => {
                    self.bring(node, Step::Waiting, out);
                    out.push(Command::Withdraw { node });
                }
                // It may be switching as we speak: its leave runs out, or it says so.
                Step::Permitted => out.push(Command::Withdraw { node }),
                _ => self.change(node, |member| member.queued = false),
            }
        }
        out.append(&mut later);
        self.settle(out);
    }

    /// How it ended, if it did.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }
}

/// Milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
