//! From wave to wave: enough must have committed, then it soaks, then it is judged. What cannot be judged
//! holds; a gate that holds for too long, or a wave that takes too long, pauses the rollout.

use super::event::{Command, Note, Outcome};
use super::{Phase, Rollout, millis};
use crate::evidence::{Sample, Verdict, judge};
use crate::manifest::{Action, Approve, Lane, NoData};
use crate::quantity::percent;

impl Rollout {
    /// Comes to a wave; past the last one only those who were away are left.
    pub(super) fn enter(&mut self, mut wave: usize, out: &mut Vec<Command>) {
        while self.plan.waves.get(wave).is_some_and(|nodes| nodes.is_empty()) {
            wave += 1;
        }
        if wave == self.plan.waves.len() {
            self.phase = Phase::Converging;
            self.take_in(wave);
            return self.settle(out);
        }
        if self.approvers(wave).is_some() {
            self.phase = Phase::Approval { wave };
            out.push(Command::Note(Note::Asks { wave }));
        } else {
            self.begin(wave, out);
        }
    }

    pub(super) fn begin(&mut self, wave: usize, out: &mut Vec<Command>) {
        self.phase = Phase::Wave { wave, since: self.now, soaking: None };
        out.push(Command::Note(Note::Begins { wave }));
        self.take_in(wave);
    }

    /// Who must agree before a wave begins.
    pub(super) fn approvers(&self, wave: usize) -> Option<Approve> {
        let asked = self.plan.rollout.waves.get(wave).and_then(|wave| wave.approve.clone());
        let emergency = self.plan.rollout.lane == Lane::Emergency && wave == 0;
        asked.or(emergency.then_some(Approve::Anyone))
    }

    /// The nodes of a wave that are there, and late joiners, come into the queue.
    fn take_in(&mut self, wave: usize) {
        let late = self.plan.waves.last().map_or(0, |last| last.end);
        let nodes = self.plan.waves.get(wave).cloned().unwrap_or(late..late);
        for node in nodes.chain(late..self.members.len()) {
            self.enqueue(node);
        }
    }

    /// What follows from the counts alone: the end.
    pub(super) fn settle(&mut self, out: &mut Vec<Command>) {
        let expired = self.has_expired();
        let outcome = match self.phase {
            Phase::Reverting if expired || self.taken() == 0 => Outcome::Reverted,
            Phase::Converging if self.flight.is_empty() && (expired || self.waiting() == 0) => {
                Outcome::Done
            }
            Phase::Approval { .. } | Phase::Wave { .. } if expired && self.flight.is_empty() => {
                Outcome::Expired
            }
            _ => return,
        };
        self.phase = Phase::Ended(outcome);
        out.push(Command::Note(Note::Ended(outcome)));
    }

    /// Whether its time is over, and nothing begins any more.
    pub(super) fn has_expired(&self) -> bool {
        self.now - self.began > millis(self.plan.rollout.offline.expire)
    }

    fn waiting(&self) -> usize {
        self.tallies.iter().map(|tally| tally.waiting).sum()
    }

    /// Moves the wave on, as time allows.
    pub(super) fn advance(&mut self, out: &mut Vec<Command>) {
        let Phase::Wave { wave, since, soaking } = self.phase else { return };
        let enough = self.has_enough(wave);
        let Some(begin) = soaking else {
            if enough {
                self.phase = Phase::Wave { wave, since, soaking: Some(self.now) };
                (self.trial, self.control) = (Sample::default(), Sample::default());
                out.push(Command::Note(Note::Soaks { wave }));
                return self.advance(out);
            }
            return self.watch(wave, since, out);
        };
        let soaked = self.now - begin;
        let soak = millis(self.plan.rollout.soak());
        if !enough || soaked < soak {
            return self.watch(wave, since, out);
        }
        let gate = &self.plan.rollout.gate;
        let (fail, no_data, hold_max) = (gate.fail, gate.no_data, millis(gate.hold_max));
        let verdict = self.verdict(wave);
        match &verdict {
            Verdict::Pass => {
                out.push(Command::Note(Note::Judged { wave, verdict }));
                self.enter(wave + 1, out);
            }
            Verdict::Fail(why) => {
                let why = format!("the gate of wave {}: {why}", self.plan.wave_name(wave));
                out.push(Command::Note(Note::Judged { wave, verdict }));
                self.act(fail, why, out);
            }
            Verdict::Inconclusive(why) => {
                let why = format!("the gate of wave {}: {why}", self.plan.wave_name(wave));
                if no_data == NoData::Abort {
                    out.push(Command::Note(Note::Judged { wave, verdict }));
                    self.act(Action::Revert, why, out);
                } else if soaked > soak + hold_max {
                    out.push(Command::Note(Note::Judged { wave, verdict }));
                    self.pause(why, out);
                }
            }
        }
    }

    /// Whether enough of those within reach have committed: nobody is not enough.
    fn has_enough(&self, wave: usize) -> bool {
        let Some(tally) = self.tallies.get(wave) else { return false };
        let of = (tally.tried + tally.open) as f64;
        tally.committed > 0 && tally.committed as f64 >= of * self.plan.rollout.offline.advance_on
    }

    fn verdict(&self, wave: usize) -> Verdict {
        let gate = &self.plan.rollout.gate;
        let later = self.plan.waves.get(wave + 1..).unwrap_or(&[]).iter().any(|w| !w.is_empty());
        let before = self.tallies.get(wave).map(|tally| &tally.before);
        let others = before.filter(|_| !later).unwrap_or(&self.control);
        judge(&gate.metrics, gate.requests, &self.trial, others)
    }

    /// A wave that takes too long, or in which nobody is left who could make it enough, does not stand still
    /// unseen.
    fn watch(&mut self, wave: usize, since: u64, out: &mut Vec<Command>) {
        let Some(tally) = self.tallies.get(wave) else { return };
        let (committed, tried) = (tally.committed, tally.tried);
        let left = tally.waiting + tally.open + tally.taken - committed;
        if left == 0 && !self.has_enough(wave) {
            let must = percent(self.plan.rollout.offline.advance_on);
            let wave = self.plan.wave_name(wave);
            let why = format!("{committed} of {tried} nodes of wave {wave} committed, {must} must");
            return self.pause(why, out);
        }
        let deadline = self.plan.rollout.gate.deadline;
        if self.now - since > millis(deadline) {
            let deadline = pilotlight_config::units::show_duration(deadline);
            self.pause(format!("the wave takes longer than {deadline}"), out);
        }
    }
}
