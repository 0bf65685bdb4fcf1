//! The simulated world: an agenda of what comes to pass, and a rollout that hears of some of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::chance::Chance;
use super::node::{Happens, Own, Sim, Wish};
use super::{Setup, Summary};
use crate::evidence::Sample;
use crate::plan::Digest;
use crate::rollout::{Command, Event, Failure, Note, Now, Outcome, Phase, Reported, Rollout, Step};

const SECOND: u64 = 1000;
/// How long a node's question stays open before it asks again.
const POLL: u64 = 240 * SECOND;
/// What a node does that loses its network with a release: it goes back after this.
const CONFIRM: u64 = 180 * SECOND;
/// Who is still away so long after the end is not waited for.
const PATIENCE: u64 = 40 * 24 * 3600 * SECOND;

/// When, in which order, to whom, in which epoch of theirs, what.
type Entry = (u64, u64, usize, u32, Happens);

pub(super) struct World {
    setup: Setup,
    rollout: Rollout,
    nodes: Vec<Sim>,
    agenda: BinaryHeap<Reverse<Entry>>,
    chance: Chance,
    now: u64,
    /// Breaks ties on the agenda by who came first.
    count: u64,
    events: u64,
    /// Nodes of each group that are away from their work, in truth.
    away: Vec<usize>,
    /// The wave whose gate failed last.
    failed_gate: Option<usize>,
    violations: Vec<String>,
    log: ring::digest::Context,
    asked: Option<u64>,
    /// What the rollout said when it began.
    first: Vec<Command>,
}

impl World {
    pub(super) fn new(setup: Setup) -> World {
        let mut chance = Chance::new(setup.seed);
        let faults = &setup.faults;
        let fates = [
            (Failure::Rejected, faults.rejected),
            (Failure::CrashLoop, faults.crash_loop),
            (Failure::Probe, faults.probe),
            (Failure::Slo, faults.slo),
            (Failure::Silent, faults.silent),
        ];
        let fate = |chance: &mut Chance| {
            let mut part = chance.part();
            fates.into_iter().find_map(|(failure, share)| {
                part -= share;
                (part < 0.0).then_some(failure)
            })
        };
        let nodes: Vec<_> = setup.plan.nodes.iter().map(|_| Sim::new(fate(&mut chance))).collect();
        let away = vec![0; setup.plan.groups.len()];
        let now = Now { steady: 0, wall: setup.wall };
        let (rollout, commands) = Rollout::new(setup.plan.clone(), "simulation", now);
        let mut world = World {
            setup,
            rollout,
            nodes,
            agenda: BinaryHeap::new(),
            chance,
            now: 0,
            count: 0,
            events: 0,
            away,
            failed_gate: None,
            violations: Vec::new(),
            log: ring::digest::Context::new(&ring::digest::SHA256),
            asked: None,
            first: commands,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        for node in 0..self.nodes.len() {
            let offline = self.chance.hits(self.setup.faults.offline);
            self.nodes[node].online = !offline;
            if offline {
                let away = self.chance.wait(self.setup.faults.away.as_millis() as f64);
                self.plan(node, away, Happens::Comes);
            } else {
                let first = self.chance.between(0, POLL);
                self.plan_poll(node, first);
                self.plan_leave(node);
            }
        }
    }

    fn plan_leave(&mut self, node: usize) {
        let drops = self.setup.faults.drops;
        if drops > 0.0 {
            let wait = self.chance.wait(3_600_000.0 / drops);
            self.plan(node, wait, Happens::Leaves);
        }
    }

    /// The node asks after so long, and not when it would have asked.
    fn plan_poll(&mut self, node: usize, wait: u64) {
        self.nodes[node].polls = Some(self.now + wait);
        self.plan(node, wait, Happens::Poll);
    }

    /// Puts something on the agenda, so many milliseconds from now.
    fn plan(&mut self, node: usize, wait: u64, what: Happens) {
        self.count += 1;
        let epoch = self.nodes[node].epoch;
        self.agenda.push(Reverse((self.now + wait, self.count, node, epoch, what)));
    }

    pub(super) fn run(mut self, tell: &mut dyn FnMut(u64, &Note, &Rollout)) -> Summary {
        let first = std::mem::take(&mut self.first);
        self.carry_out(&first, tell);
        let (mut tick, mut pause) = (SECOND, SECOND);
        let mut ended = None;
        loop {
            let next = self.agenda.peek().map(|Reverse((at, ..))| *at);
            let over = self.rollout.outcome().is_some();
            if over {
                let since = *ended.get_or_insert(self.now);
                if self.is_settled() || next.is_none_or(|at| at > since + PATIENCE) {
                    break;
                }
            }
            if !over && next.is_none_or(|at| at >= tick) {
                self.now = tick;
                let quiet = !self.step(Event::Tick, tell);
                if self.is_stuck(tell) {
                    break;
                }
                // Nothing to do makes the next look later: a controller would look each second.
                let most = if self.rollout.is_idle() { 60 * SECOND } else { 10 * SECOND };
                pause = if quiet { (pause * 2).min(most) } else { SECOND };
                tick += pause;
                continue;
            }
            let Some(Reverse((at, _, node, epoch, what))) = self.agenda.pop() else { break };
            self.now = at;
            self.happens(node, epoch, what, tell);
        }
        self.summary(ended)
    }

    /// Whether everyone has what the rollout's end says, as far as they can be reached.
    fn is_settled(&self) -> bool {
        match self.rollout.outcome() {
            Some(Outcome::Reverted) => !self.nodes.iter().any(Sim::runs),
            _ => true,
        }
    }

    /// Whether it waits for an operator who does not come.
    fn is_stuck(&mut self, tell: &mut dyn FnMut(u64, &Note, &Rollout)) -> bool {
        if matches!(self.rollout.phase(), Phase::Approval { .. }) {
            let asked = *self.asked.get_or_insert(self.now);
            if !self.setup.approve {
                return true;
            }
            if self.now >= asked + 60 * SECOND {
                self.asked = None;
                self.step(Event::Approve { by: "simulated operator" }, tell);
            }
        }
        // Who is on the way still arrives; then nothing moves any more.
        self.rollout.paused().is_some() && !self.nodes.iter().any(|node| node.own == Own::Probation)
    }

    /// Hands an event to the rollout, and its commands to the nodes.
    /// True if there were any.
    fn step(&mut self, event: Event<'_>, tell: &mut dyn FnMut(u64, &Note, &Rollout)) -> bool {
        let wall = self.setup.wall + i64::try_from(self.now / SECOND).unwrap_or(i64::MAX);
        self.events += 1;
        let commands = self.rollout.step(event, Now { steady: self.now, wall });
        self.carry_out(&commands, tell);
        !commands.is_empty()
    }

    fn carry_out(&mut self, commands: &[Command], tell: &mut dyn FnMut(u64, &Note, &Rollout)) {
        for command in commands {
            self.remember(command);
            if let Command::Note(note) = command {
                self.watch(note);
                tell(self.now, note, &self.rollout);
            }
        }
    }

    fn remember(&mut self, command: &Command) {
        self.note(&serde_json::to_vec(command).unwrap_or_default());
        if let Some((node, wish)) = Wish::of(command, self.now) {
            self.nodes[node].wish = Some(wish);
            let soon = self.chance.between(50, 500);
            self.plan(node, soon, Happens::Hears);
        }
    }

    fn note(&mut self, what: &[u8]) {
        self.log.update(&self.now.to_be_bytes());
        self.log.update(what);
    }

    /// What must hold of a rollout's own words.
    fn watch(&mut self, note: &Note) {
        match note {
            Note::Judged { wave, verdict } if *verdict != crate::evidence::Verdict::Pass => {
                self.failed_gate = Some(*wave);
            }
            Note::Begins { wave } if self.failed_gate.is_some_and(|failed| failed < *wave) => {
                self.violations.push(format!("wave {wave} began past a gate that failed"));
            }
            Note::Resumed(_) => self.failed_gate = None,
            _ => {}
        }
    }

    fn happens(
        &mut self,
        node: usize,
        epoch: u32,
        what: Happens,
        tell: &mut dyn FnMut(u64, &Note, &Rollout),
    ) {
        let timely = self.nodes[node].epoch == epoch;
        match what {
            Happens::Poll if self.nodes[node].polls == Some(self.now) => {
                self.nodes[node].polls = None;
                self.contact(node, tell);
            }
            Happens::Hears => self.heed(node, tell),
            Happens::Fetched if timely && self.nodes[node].own == Own::Fetching => {
                let refused = self.nodes[node].fate == Some(Failure::Rejected);
                let (own, says) = match refused {
                    true => (Own::Done, Reported::Rejected),
                    false => (Own::Staged, Reported::Ready),
                };
                self.become_(node, own, says, tell);
            }
            Happens::Proven if timely && self.nodes[node].own == Own::Probation => {
                self.become_(node, Own::New, Reported::Committed, tell);
            }
            Happens::Returned if timely => {
                if let Own::Back(why) = self.nodes[node].own {
                    self.become_(node, Own::Done, why, tell);
                }
            }
            Happens::Leaves if self.nodes[node].online => {
                self.nodes[node].online = false;
                let away = self.chance.wait(self.setup.faults.away.as_millis() as f64);
                self.plan(node, away, Happens::Comes);
            }
            Happens::Comes => {
                self.nodes[node].online = true;
                self.plan_leave(node);
                self.contact(node, tell);
            }
            _ => {}
        }
    }

    /// A node has something else now, and says so.
    fn become_(
        &mut self,
        node: usize,
        own: Own,
        says: Reported,
        tell: &mut dyn FnMut(u64, &Note, &Rollout),
    ) {
        self.own(node, own);
        self.nodes[node].says = Some(says);
        self.contact(node, tell);
    }

    /// Changes what a node has; what was planned before is void.
    fn own(&mut self, node: usize, own: Own) {
        let group = self.setup.plan.nodes[node].group;
        self.away[group] -= usize::from(self.nodes[node].is_away());
        self.nodes[node].own = own;
        self.nodes[node].epoch += 1;
        self.away[group] += usize::from(self.nodes[node].is_away());
        let budget = self.setup.plan.groups[group].budget;
        let forward = !matches!(self.rollout.phase(), Phase::Reverting | Phase::Ended(_));
        if forward && self.away[group] > budget {
            let (away, name) = (self.away[group], &self.setup.plan.groups[group].name);
            self.violations.push(format!("{away} nodes of {name} were away, {budget} may be"));
        }
    }

    /// A node reaches its controller, or not.
    fn contact(&mut self, node: usize, tell: &mut dyn FnMut(u64, &Note, &Rollout)) {
        if !self.nodes[node].online {
            return;
        }
        let lost = self.chance.hits(self.setup.faults.lost);
        if !lost {
            self.sample(node, tell);
            let event = match self.nodes[node].says.take() {
                Some(reported) => {
                    self.note(format!("{node} {reported:?}").as_bytes());
                    Event::Report { node, reported }
                }
                None => Event::Seen { node },
            };
            let asked = matches!(event, Event::Report { reported: Reported::Switching, .. });
            self.step(event, tell);
            if asked && self.nodes[node].own == Own::Asking {
                self.switch(node);
            }
            self.heed(node, tell);
        }
        if lost {
            self.plan_poll(node, 5 * SECOND);
        } else if self.nodes[node].online && self.matters(node) {
            let wait = self.chance.between(POLL * 9 / 10, POLL);
            self.plan_poll(node, wait);
        }
    }

    /// Whether a node's next poll can change anything; else it is spared.
    fn matters(&self, node: usize) -> bool {
        let member = self.rollout.member(node);
        let judged = match *self.rollout.phase() {
            Phase::Wave { wave, .. } => member.is_some_and(|member| member.wave == wave),
            _ => false,
        };
        let settled = matches!(self.nodes[node].own, Own::New | Own::Done);
        judged || !settled || self.nodes[node].says.is_some()
    }

    /// What it has served since it was last asked.
    fn sample(&mut self, node: usize, tell: &mut dyn FnMut(u64, &Note, &Rollout)) {
        let sim = &mut self.nodes[node];
        let elapsed = self.now - sim.sampled;
        let faults = &self.setup.faults;
        if self.setup.plan.rollout.gate.metrics.is_empty() || elapsed < SECOND {
            return;
        }
        sim.sampled = self.now;
        let ratio = if sim.runs() { faults.errors_after } else { faults.errors_before };
        let requests = faults.requests * elapsed.min(POLL) / SECOND;
        let errors = (requests as f64 * ratio + self.chance.part()) as u64;
        let mut sample = Sample { requests, errors: errors.min(requests), ..Sample::default() };
        sample.latency[4] = requests;
        self.step(Event::Sample { node, sample: &sample }, tell);
    }

    /// A node does what is wished, if it can.
    fn heed(&mut self, node: usize, tell: &mut dyn FnMut(u64, &Note, &Rollout)) {
        let sim = &self.nodes[node];
        if !sim.online {
            return;
        }
        match (sim.wish, sim.own) {
            (Some(Wish::Fetch), Own::Old) => {
                self.own(node, Own::Fetching);
                let wait = self.chance.between(SECOND, 20 * SECOND);
                self.plan(node, wait, Happens::Fetched);
            }
            (Some(Wish::Fetch), Own::Staged) => {
                self.nodes[node].wish = None;
                self.become_(node, Own::Staged, Reported::Ready, tell);
            }
            (Some(Wish::Switch(until)), Own::Staged) if self.now < until => {
                self.become_(node, Own::Asking, Reported::Switching, tell);
            }
            (Some(Wish::Nothing), Own::Fetching | Own::Staged | Own::Asking) => {
                self.nodes[node].says = None;
                self.own(node, Own::Old);
            }
            (Some(Wish::Revert), Own::Probation | Own::New) => {
                self.own(node, Own::Back(Reported::Reverted));
                self.plan(node, SECOND, Happens::Returned);
            }
            _ => {}
        }
    }

    /// The controller has heard that it switches: it does, if its leave still holds.
    fn switch(&mut self, node: usize) {
        let in_time =
            matches!(self.nodes[node].wish, Some(Wish::Switch(until)) if self.now < until);
        if !in_time {
            self.own(node, Own::Staged);
            self.nodes[node].says = Some(Reported::Ready);
            return self.plan_poll(node, SECOND);
        }
        self.own(node, Own::Probation);
        let mut probation = self.setup.plan.rollout.gate.probation.as_millis() as u64;
        if self.chance.hits(self.setup.faults.power_cuts) {
            // It boots what it had switched to, and proves it from the start.
            let boot = self.chance.between(20 * SECOND, 90 * SECOND);
            self.nodes[node].online = false;
            self.plan(node, boot, Happens::Comes);
            probation += boot;
        }
        let (wait, failure) = match self.nodes[node].fate {
            None | Some(Failure::Rejected) => return self.plan(node, probation, Happens::Proven),
            Some(Failure::Silent) => {
                self.nodes[node].online = false;
                let back = self.chance.between(CONFIRM, 20 * CONFIRM);
                self.plan(node, back, Happens::Comes);
                (CONFIRM, Failure::RolledBack)
            }
            Some(Failure::CrashLoop) => (8 * SECOND, Failure::CrashLoop),
            Some(other) => (probation, other),
        };
        self.own(node, Own::Back(Reported::Failed(failure)));
        self.plan(node, wait, Happens::Returned);
    }

    fn summary(mut self, ended: Option<u64>) -> Summary {
        let members = self.rollout.members();
        let count = |wanted: &dyn Fn(Step) -> bool| {
            members.iter().filter(|member| wanted(member.step)).count()
        };
        let running = self.nodes.iter().filter(|node| node.runs()).count();
        if self.rollout.outcome() == Some(Outcome::Reverted) && running > 0 {
            self.violations.push(format!("{running} nodes run what was taken back"));
        }
        let unproven = self.nodes.iter().filter(|node| node.own == Own::Probation).count();
        if self.rollout.outcome() == Some(Outcome::Done) && unproven > 0 {
            self.violations.push(format!("{unproven} nodes are neither committed nor back"));
        }
        let failed = Failure::ALL.map(|kind| (kind, count(&|step| step.failure() == Some(kind))));
        let log = self.log.clone().finish();
        Summary {
            outcome: self.rollout.outcome(),
            paused: self.rollout.paused().map(str::to_owned),
            took: ended.unwrap_or(self.now),
            nodes: members.len(),
            running,
            committed: count(&|step| step == Step::Committed),
            failed: failed.into(),
            reverted: count(&|step| step == Step::Reverted),
            untouched: count(&|step| step == Step::Waiting),
            events: self.events,
            violations: self.violations,
            log: Digest::of_bytes(log.as_ref()),
        }
    }
}
