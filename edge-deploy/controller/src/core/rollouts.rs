//! Rollouts under way: events into their machines, commands out to nodes' wishes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use pilotlight_fleet::evidence::Sample;
use pilotlight_fleet::manifest::Fleet;
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::Trust;
use pilotlight_fleet::rollout::{Command, Note, Now, Phase, Reported, Rollout, Step};

use super::Core;
use super::agents::reading;
use crate::store::{Begun, Entry, Happened, Placed, Snapshot, Wish, Write};

/// A way back has been proved before: so many milliseconds are enough.
const BACK: u64 = 5_000;
/// Notes that are shown.
const NOTES: usize = 200;
/// Rollouts that are at hand.
const REMEMBERED: usize = 20;
/// A snapshot is made after so many lines of a journal, and so many a node: what it costs is little beside them, and
/// what is read at a start is never more.
const LINES: u64 = 64;
const LINES_A_NODE: u64 = 4;

/// A rollout, as far as its journal goes.
pub(super) struct Running {
    pub(super) begun: Begun,
    pub(super) machine: Rollout,
    /// Its nodes' places.
    pub(super) places: HashMap<String, usize>,
    /// What each node said last.
    said: BTreeMap<usize, Reported>,
    /// The journal's last line, and the last one in a snapshot.
    seq: u64,
    kept: u64,
    at: u64,
    pub(super) notes: VecDeque<(i64, String)>,
}

impl Running {
    /// A rollout that begins, and what it wants.
    pub(super) fn begin(begun: Begun) -> (Running, Vec<Command>) {
        let (machine, commands) = Rollout::new(begun.plan.clone(), &begun.by, begun.now);
        let (rollout, at, wall) = (begun.id, begun.now.steady, begun.now.wall);
        let (said, notes) = (BTreeMap::new(), VecDeque::new());
        let mut running =
            Running::of(begun, Snapshot { rollout, seq: 0, at, machine, said, notes });
        running.remember(&commands, wall);
        (running, commands)
    }

    /// A rollout as a snapshot has it.
    fn of(begun: Begun, snapshot: Snapshot) -> Running {
        let Snapshot { seq, at, machine, said, notes, .. } = snapshot;
        let places = machine.plan().nodes.iter().enumerate();
        let places = places.map(|(at, turn)| (turn.id.clone(), at)).collect();
        Running { begun, machine, places, said, seq, kept: seq, at, notes }
    }

    /// A rollout as its journal left it. What it wanted then was written with each line.
    pub(super) fn replay(begun: Begun, snapshot: Option<Snapshot>, journal: Vec<Entry>) -> Running {
        let mut running = match snapshot {
            Some(snapshot) => Running::of(begun, snapshot),
            None => Running::begin(begun).0,
        };
        for entry in journal {
            running.step(&entry.what, entry.now);
            running.seq = entry.seq;
        }
        running
    }

    /// Whether its journal is long enough for another snapshot.
    fn is_long(&self) -> bool {
        let nodes = self.machine.members().len() as u64;
        self.seq - self.kept >= LINES + LINES_A_NODE * nodes
    }

    fn snapshot(&mut self) -> Snapshot {
        self.kept = self.seq;
        Snapshot {
            rollout: self.begun.id,
            seq: self.seq,
            at: self.at,
            machine: self.machine.clone(),
            said: self.said.clone(),
            notes: self.notes.clone(),
        }
    }

    pub(super) fn latest(&self) -> u64 {
        self.at
    }

    fn step(&mut self, what: &Happened, now: Now) -> Vec<Command> {
        let commands = self.machine.step(what.event(&self.begun.fleet), now);
        self.at = self.at.max(now.steady);
        if let Happened::Join { node } = what
            && let Some(at) = self.machine.members().len().checked_sub(1)
            && self.machine.plan().nodes.get(at).is_some_and(|turn| turn.id == node.id)
        {
            self.places.insert(node.id.clone(), at);
        }
        if let Happened::Report { node, reported } = what {
            self.said.insert(*node, *reported);
        }
        self.remember(&commands, now.wall);
        commands
    }

    fn remember(&mut self, commands: &[Command], wall: i64) {
        for command in commands {
            let Command::Note(note) = command else { continue };
            if self.notes.len() == NOTES {
                self.notes.pop_front();
            }
            self.notes.push_back((wall, note.text(self.machine.plan())));
        }
    }

    /// Whether it still gives the release to nodes.
    pub(super) fn is_forward(&self) -> bool {
        matches!(
            self.machine.phase(),
            Phase::Approval { .. } | Phase::Wave { .. } | Phase::Converging
        )
    }

    /// Whether that a node is there can change anything.
    fn cares(&self, node: usize, now: Now) -> bool {
        let Some(member) = self.machine.member(node) else { return false };
        let stays = match self.machine.phase() {
            Phase::Ended(_) | Phase::Reverting => member.step.took(),
            _ => matches!(member.step, Step::Waiting | Step::Offered | Step::Ready),
        };
        let within = self.machine.plan().rollout.offline.reachable.as_millis() as u64 / 4;
        stays && member.seen.is_none_or(|seen| now.steady.saturating_sub(seen) > within)
    }

    fn is_judged(&self) -> bool {
        let metrics = !self.machine.plan().rollout.gate.metrics.is_empty();
        metrics && matches!(self.machine.phase(), Phase::Wave { .. })
    }
}

impl Core {
    /// Time has gone by: to be called about once a second.
    pub fn tick(&mut self, now: Now) {
        let ids: Vec<u64> = self.rollouts.keys().copied().collect();
        for id in ids {
            let Some(running) = self.rollouts.get(&id) else { continue };
            if running.machine.outcome().is_none() {
                self.happen(id, Happened::Tick, now);
            }
        }
    }

    /// Something happens to a rollout: it is written down, and what it wants is done.
    pub(super) fn happen(&mut self, id: u64, what: Happened, now: Now) {
        let Some(running) = self.rollouts.get_mut(&id) else { return };
        // A tick that finds nothing to do leaves all as it was, but for the time.
        let idle = what == Happened::Tick && running.machine.is_idle();
        let was_over = running.machine.outcome().is_some();
        let commands = running.step(&what, now);
        if idle && commands.is_empty() {
            return;
        }
        running.seq += 1;
        self.writes.push(Write::Entry(Entry { rollout: id, seq: running.seq, now, what }));
        if running.is_long() || !was_over && running.machine.outcome().is_some() {
            self.writes.push(Write::Snapshot(Box::new(running.snapshot())));
            self.writes.push(Write::Trim(id, running.seq));
        }
        self.carry_out(id, &commands, now);
    }

    pub(super) fn carry_out(&mut self, id: u64, commands: &[Command], now: Now) {
        for command in commands {
            match command {
                Command::Offer { node } => self.wish(id, *node, Change::Offer),
                Command::Switch { node, lease } => {
                    self.wish(id, *node, Change::Switch(now.steady + lease));
                }
                Command::Withdraw { node } => self.wish(id, *node, Change::Withdraw),
                Command::Revert { node } => self.wish(id, *node, Change::Revert),
                // Of thousands of nodes a report tells more than a log.
                Command::Note(Note::Failed { .. } | Note::Joined { .. }) => {}
                Command::Note(note) => {
                    let Some(running) = self.rollouts.get(&id) else { continue };
                    let text = note.text(running.machine.plan());
                    self.note(&format!("rollout {id}"), text, now);
                }
            }
        }
    }

    /// Another wish for a node, if this rollout is the one that it is in.
    fn wish(&mut self, id: u64, node: usize, change: Change) {
        let Some(running) = self.rollouts.get(&id) else { return };
        let plan = running.machine.plan();
        let Some(turn) = plan.nodes.get(node) else { return };
        let digest = &plan.content.digest;
        let Some(record) = self.nodes.get(&turn.id).filter(|record| record.rollout == Some(id))
        else {
            return;
        };
        let Some(wish) = change.of(record, digest, running) else { return };
        let mut record = record.clone();
        if let Change::Offer = change
            && !record.good.as_ref().is_some_and(|good| good.is(digest))
        {
            record.before = record.good.clone();
        }
        if record.wish == wish {
            return;
        }
        record.wish = wish;
        self.changed.insert(turn.id.clone());
        self.writes.push(Write::Node(Box::new(record.clone())));
        self.nodes.insert(turn.id.clone(), record);
    }

    /// A node has said something: to the rollout that it is in.
    pub(super) fn report(&mut self, id: u64, node: &str, sample: Option<Sample>, now: Now) {
        let Some(running) = self.rollouts.get(&id) else { return };
        let (Some(at), Some(record)) = (running.places.get(node).copied(), self.nodes.get(node))
        else {
            return;
        };
        let reported = reading(record, &running.machine.plan().content.digest);
        let (new, cares) = (running.said.get(&at) != Some(&reported), running.cares(at, now));
        let sample = sample.filter(|_| running.is_judged());
        if let Some(sample) = sample {
            self.happen(id, Happened::Sample { node: at, sample }, now);
        }
        if new {
            self.happen(id, Happened::Report { node: at, reported }, now);
        } else if cares {
            self.happen(id, Happened::Seen { node: at }, now);
        }
    }

    /// A node is new, or another one by its labels.
    pub(super) fn join(&mut self, node: &str, now: Now) {
        let Some(record) = self.nodes.get(node) else { return };
        let (plain, taken) = (record.node.clone(), record.rollout);
        let target = |running: &Running| {
            running.is_forward()
                && !running.places.contains_key(node)
                && running.machine.plan().rollout.target.matches(&plain.id, &plain.labels)
        };
        let newest = self
            .rollouts
            .iter()
            .rev()
            .find(|(id, running)| taken.is_none_or(|taken| taken < **id) && target(running));
        let Some(id) = newest.map(|(id, _)| *id) else { return };
        // It may be offered the release at once.
        if let Some(record) = self.nodes.get_mut(node) {
            record.rollout = Some(id);
        }
        self.happen(id, Happened::Join { node: Box::new(plain) }, now);
        let joined = self.rollouts.get(&id).is_some_and(|r| r.places.contains_key(node));
        if let Some(record) = self.nodes.get_mut(node) {
            record.rollout = if joined { Some(id) } else { taken };
            self.writes.push(Write::Node(Box::new(record.clone())));
        }
    }

    /// Old rollouts stay in the store; here are those that somebody may still ask about.
    pub(super) fn forget(&mut self) {
        let old = self.rollouts.keys().rev().nth(REMEMBERED).copied();
        let Some(old) = old else { return };
        let used: BTreeSet<u64> = self.nodes.values().filter_map(|record| record.rollout).collect();
        let writes = &mut self.writes;
        self.rollouts.retain(|id, running| {
            let stays = *id > old || used.contains(id) || running.machine.outcome().is_none();
            if !stays {
                writes.push(Write::Forget(*id));
            }
            stays
        });
    }

    /// Something is wrong with what is believed: nothing new begins until somebody has looked.
    pub(super) fn pause_all(&mut self, why: &str, now: Now) {
        let open = |running: &Running| running.is_forward() && running.machine.paused().is_none();
        let ids: Vec<u64> =
            self.rollouts.iter().filter(|(_, r)| open(r)).map(|(id, _)| *id).collect();
        for id in ids {
            let what = Happened::Pause { by: "controller".into(), reason: why.into() };
            self.happen(id, what, now);
        }
    }
}

/// What a rollout wants of a node.
enum Change {
    Offer,
    Switch(u64),
    Withdraw,
    Revert,
}

impl Change {
    fn of(
        &self,
        record: &crate::store::Record,
        digest: &Digest,
        running: &Running,
    ) -> Option<Wish> {
        let old = &record.wish;
        let rollout = &running.machine.plan().rollout;
        let fresh = |placed: Option<Placed>, switch, probation, retry| {
            let serial = old.serial + 1;
            Some(Wish { serial, placed, switch, until: None, probation, retry })
        };
        let probation = u64::try_from(rollout.gate.probation.as_millis()).unwrap_or(u64::MAX);
        match self {
            Change::Offer => {
                let vars = running.begun.fleet.vars(&record.node.id, &record.node.labels);
                let placed = Placed {
                    release: pilotlight_fleet::message::Wanted {
                        name: rollout.release.clone(),
                        version: rollout.version.clone(),
                        digest: Some(digest.clone()),
                    },
                    vars: vars.unwrap_or_else(|_| BTreeMap::new()),
                };
                fresh(Some(placed), false, probation, rollout.retry)
            }
            // Leave for something that is not wished for any more is none.
            Change::Switch(until) => old
                .placed
                .as_ref()
                .is_some_and(|p| p.is(digest))
                .then(|| Wish { switch: true, until: Some(*until), ..old.clone() }),
            Change::Withdraw => {
                let wished = old.placed.as_ref().is_some_and(|placed| placed.is(digest));
                wished.then(|| fresh(record.good.clone(), true, probation, false)).flatten()
            }
            Change::Revert => {
                // Told once; it comes back with the same.
                let told = old.placed == record.before && old.retry;
                (!told).then(|| fresh(record.before.clone(), true, BACK, true)).flatten()
            }
        }
    }
}

impl Core {
    /// The fleet's manifest was read again. Values are a matter of the next rollout; holds count at once.
    pub fn heed(&mut self, fleet: Fleet, now: Now) {
        if self.settings.fleet == fleet {
            return;
        }
        self.settings.fleet = fleet;
        self.note("controller", "read the fleet's manifest: it is another one".into(), now);
        self.heed_holds(now);
    }

    /// Others sign releases from now on.
    pub fn believe(&mut self, trust: Trust, now: Now) {
        if self.settings.trust != trust {
            self.settings.trust = trust;
            self.note("controller", "believes other keys that sign releases".into(), now);
        }
    }

    /// Holds may have come and gone while nobody looked: the fleet's manifest is read at each start.
    pub fn heed_holds(&mut self, now: Now) {
        let mut differ = Vec::new();
        for (id, running) in &self.rollouts {
            if running.machine.outcome().is_some() {
                continue;
            }
            let members = running.machine.plan().nodes.iter().zip(running.machine.members());
            for (node, (turn, member)) in members.enumerate() {
                let held = self.settings.fleet.hold(&turn.id).is_some();
                if held != member.held {
                    differ.push((*id, Happened::Hold { node, held }));
                }
            }
        }
        for (id, what) in differ {
            self.happen(id, what, now);
        }
    }
}
