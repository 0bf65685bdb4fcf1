//! What time does: deadlines first, then offers and leave to switch, as pace, budgets and windows allow.

use std::collections::BTreeMap;

use super::event::Command;
use super::member::Step;
use super::{Phase, Rollout, millis};
use crate::window::zone;

/// Leave to switch holds so long, in milliseconds.
const LEASE: u64 = 60_000;

impl Rollout {
    pub(super) fn tick(&mut self, wall: i64, out: &mut Vec<Command>) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        self.expire_steps(out);
        self.pace.flow(self.now);
        self.settle(out);
        if self.may_begin() {
            self.advance(out);
        }
        // The gate may have paused it, or taken it back.
        if self.may_begin() {
            self.offer(out);
            self.permit(wall, out);
        }
    }

    /// Whether anything new may begin.
    fn may_begin(&self) -> bool {
        self.paused.is_none() && !self.is_over() && !self.has_expired()
    }

    /// Nodes that took too long. They are judged by the clock: who is gone sends no event.
    fn expire_steps(&mut self, out: &mut Vec<Command>) {
        let reachable = millis(self.plan.rollout.offline.reachable);
        let gate = &self.plan.rollout.gate;
        let silent = millis(gate.probation) + millis(gate.silent);
        let expired = self.has_expired();
        let late = |node: usize| {
            let member = self.members.get(node)?;
            let (there, took) = (member.is_there(self.now, reachable), self.now - member.since);
            Some((
                node,
                match member.step {
                    Step::Offered | Step::Ready if !there || expired => Step::Waiting,
                    // It never said that it would switch, so it did not, and may not any more.
                    Step::Permitted if took > LEASE && there && !self.is_over() => Step::Ready,
                    Step::Permitted if took > LEASE => Step::Waiting,
                    Step::Switching if took > silent => Step::Silent,
                    _ => return None,
                },
            ))
        };
        let late: Vec<_> = self.flight.iter().filter_map(|node| late(*node)).collect();
        for (node, step) in late {
            self.bring(node, step, out);
            if step == Step::Waiting {
                out.push(Command::Withdraw { node });
            }
        }
    }

    fn offer(&mut self, out: &mut Vec<Command>) {
        let reachable = millis(self.plan.rollout.offline.reachable);
        while let Some(node) = self.due.front().copied() {
            let Some(member) = self.members.get(node) else { break };
            let fine = member.is_there(self.now, reachable) && !member.held;
            if member.queued && fine {
                if !self.pace.offers.take() {
                    break;
                }
                self.due.pop_front();
                self.bring(node, Step::Offered, out);
                out.push(Command::Offer { node });
            } else {
                self.due.pop_front();
                self.change(node, |member| member.queued = false);
            }
        }
    }

    /// Gives leave to switch, a node of each group in turn while there is any.
    fn permit(&mut self, wall: i64, out: &mut Vec<Command>) {
        let mut open: BTreeMap<usize, bool> = BTreeMap::new();
        let mut busy = true;
        while busy {
            busy = false;
            for group in 0..self.ready.len() {
                let budget = self.plan.groups.get(group).map_or(0, |group| group.budget);
                if self.held(group) >= budget {
                    continue;
                }
                let Some(node) = self.ready_in(group) else { continue };
                let zone = self.plan.nodes.get(node).map_or(0, |turn| turn.zone);
                let open = *open.entry(zone).or_insert_with(|| self.is_open(zone, wall));
                if open && self.pace.switches.take() {
                    if let Some(ready) = self.ready.get_mut(group) {
                        ready.pop_front();
                    }
                    self.bring(node, Step::Permitted, out);
                    out.push(Command::Switch { node, lease: LEASE });
                    busy = true;
                } else if !open && let Some(ready) = self.ready.get_mut(group) {
                    // Another node of the group may live in another zone.
                    ready.rotate_left(1);
                }
            }
        }
    }

    /// The next node of a group that is still ready.
    fn ready_in(&mut self, group: usize) -> Option<usize> {
        let ready = self.ready.get_mut(group)?;
        while let Some(node) = ready.front().copied() {
            match self.members.get(node) {
                Some(member) if member.step == Step::Ready && !member.held => return Some(node),
                _ => ready.pop_front(),
            };
        }
        None
    }

    fn is_open(&self, at: usize, wall: i64) -> bool {
        let Some(windows) = &self.plan.rollout.windows else { return true };
        let zone = self.plan.zones.get(at).and_then(|name| zone(name));
        zone.is_some_and(|zone| windows.open(&zone, wall))
    }
}
