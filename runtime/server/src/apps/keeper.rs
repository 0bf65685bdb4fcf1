//! Who keeps as many instances of an application as there are to be.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_core::scale::{Decision, Now, Reason, Scaler};
use pilotlight_filter::host::Level;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::app::{App, STATES};
use super::instance::{Ask, End, Instance, Told};
use super::pause::Pause;
use super::{Office, Wish};
use crate::clock;
use crate::upstream::UpstreamError;

/// What instances have to tell waits.
const TOLD: usize = 64;

/// See the module.
pub(super) struct Keeper {
    office: Rc<Office>,
    app: Arc<App>,
    scaler: Scaler,
    members: Vec<Member>,
    pause: Pause,
    /// One has ended by itself, and nobody has asked for it since.
    left: bool,
    /// Since when there was no request.
    quiet: Option<Duration>,
    decided: Decision,
    tell: mpsc::Sender<(u64, Told)>,
    told: mpsc::Receiver<(u64, Told)>,
    wish: watch::Receiver<Wish>,
    /// Retired, it serves who is there until then.
    serves_until: Option<Duration>,
}

/// An instance.
struct Member {
    id: u64,
    state: State,
    asks: watch::Sender<Ask>,
    /// When it was ready.
    since: Option<Duration>,
    /// Why it is stopped.
    why: &'static str,
}

/// In the order of [`STATES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    /// It takes no more exchanges, and has some.
    Draining,
    Stopping,
}

impl Keeper {
    pub(super) fn new(office: Rc<Office>, app: Arc<App>, wish: watch::Receiver<Wish>) -> Keeper {
        let (tell, told) = mpsc::channel(TOLD);
        let now = now(&office);
        let mut scaler = Scaler::new(&app.settings.load().meant.scale, now);
        if let Some(kept) = office.states.take(&app.name) {
            scaler.restore(now, &kept, true);
        }
        Keeper {
            office,
            app,
            scaler,
            members: Vec::new(),
            pause: Pause::default(),
            left: false,
            quiet: None,
            decided: Decision { desired: 0, reason: Reason::Idle },
            tell,
            told,
            wish,
            serves_until: None,
        }
    }

    /// Keeps them until it is told to end, and all have ended.
    pub(super) async fn keep(mut self) {
        loop {
            let next = match self.serves() {
                true => self.look(),
                false => None,
            };
            let is_over = self.members.is_empty() && !self.serves();
            self.note(next);
            if is_over {
                break;
            }
            let next = next.map(|at| at.saturating_sub(self.office.clock.elapsed()));
            tokio::select! {
                () = self.app.bell.notified() => {}
                Some((id, told)) = self.told.recv() => self.heard(id, told),
                Ok(()) = self.wish.changed() => self.renew(),
                () = sleep(next.unwrap_or_default()), if next.is_some() => {}
            }
        }
        self.app.close();
        self.office.states.put(&self.app.name, self.scaler.save(now(&self.office)));
    }

    /// Whether there are to be instances; if not, those that there are end.
    fn serves(&mut self) -> bool {
        let wish = *self.wish.borrow();
        let (ask, why) = match wish {
            Wish::Serve => return true,
            Wish::Retire => {
                let now = self.office.clock.elapsed();
                let until = *self.serves_until.get_or_insert(now + self.office.drain.get());
                let sample = self.app.sample();
                if now < until && sample.in_flight + sample.queued > 0 {
                    return true;
                }
                (Ask::Stop, "reload")
            }
            Wish::End => (Ask::Stop, "shutdown"),
            Wish::Kill => (Ask::Kill, "shutdown"),
        };
        for member in &mut self.members {
            self.app.shut(member.id);
            member.stop(ask, why);
        }
        false
    }

    /// The settings may be new.
    fn renew(&mut self) {
        self.scaler.adjust(&self.app.settings.load().meant.scale);
    }

    /// Looks at the load, and starts and stops what it asks for. Says when to look again.
    fn look(&mut self) -> Option<Duration> {
        let now = now(&self.office);
        let sample = self.app.sample();
        self.scaler.observe(now, sample);
        let decision = self.scaler.decide(now);
        let before = std::mem::replace(&mut self.decided, decision);
        if before.desired != decision.desired {
            self.tell_scale(before.desired, decision);
        }
        for id in self.app.suspects() {
            self.ask(id, Ask::Look);
        }
        let load = sample.in_flight + sample.queued;
        let began = Duration::from_millis(now.millis);
        self.quiet = match (load, sample.arrivals) {
            (0, 0) => self.quiet.or(Some(began)),
            (0, _) => Some(began),
            _ => None,
        };
        self.left &= load == 0;
        let idles = self.left
            && !matches!(
                decision.reason,
                Reason::Min | Reason::Schedule | Reason::Forecast | Reason::Gap
            );
        let desired = if idles { 0 } else { decision.desired as usize };
        self.settle(desired, decision.reason);
        let at = self.scaler.next(now).map(Duration::from_millis);
        let rested = self.pause.until().filter(|_| desired > 0);
        let idle = self.app.settings.load().meant.scale.idle;
        let over = self.quiet.map(|since| since + idle).filter(|at| desired > 0 && *at > began);
        at.into_iter().chain(rested).chain(over).chain(self.serves_until).min()
    }

    fn settle(&mut self, desired: usize, reason: Reason) {
        let clock = self.office.clock;
        if self.pause.until().is_some_and(|until| until <= clock.elapsed()) {
            self.pause.over();
            self.app.rested();
        }
        let lives = |member: &&Member| matches!(member.state, State::Starting | State::Ready);
        let mut lacking = desired.saturating_sub(self.members.iter().filter(lives).count());
        // Those that are there still come back first.
        for member in self.members.iter_mut().filter(|member| member.state == State::Draining) {
            if lacking > 0 {
                member.state = State::Ready;
                self.app.reopen(member.id);
                lacking -= 1;
            }
        }
        if self.pause.until().is_none() {
            (0..lacking).for_each(|_| self.start(reason));
        }
        let all = self.members.iter().filter(lives).count();
        (desired..all).for_each(|_| self.shrink(reason));
        for member in &mut self.members {
            if member.state == State::Draining && self.app.busy(member.id) == 0 {
                member.stop(Ask::Stop, member.why);
            }
        }
    }

    /// One less: one that is not ready yet, or the one with the least to do.
    fn shrink(&mut self, reason: Reason) {
        let app = self.app.clone();
        let key = |member: &&mut Member| match member.state {
            State::Starting => (0, 0, u64::MAX - member.id),
            _ => (1, app.busy(member.id), u64::MAX - member.id),
        };
        let lives = |member: &&mut Member| matches!(member.state, State::Starting | State::Ready);
        let Some(member) = self.members.iter_mut().filter(lives).min_by_key(key) else { return };
        let busy = self.app.shut(member.id);
        (member.state, member.why) = (State::Draining, reason.name());
        if busy == 0 {
            member.stop(Ask::Stop, reason.name());
        }
    }

    fn start(&mut self, reason: Reason) {
        let (asks, asked) = watch::channel(Ask::Run);
        let (id, why) = (self.office.number(), reason.name());
        let instance = Instance {
            office: self.office.clone(),
            app: self.app.clone(),
            id,
            reason: why,
            asks: asked,
            tell: self.tell.clone(),
        };
        tokio::task::spawn_local(instance.live());
        self.office.metrics.apps.started(&self.app.name, why);
        self.members.push(Member { id, state: State::Starting, asks, since: None, why });
    }

    fn ask(&self, id: u64, ask: Ask) {
        if let Some(member) = self.members.iter().find(|member| member.id == id) {
            member.ask(ask);
        }
    }

    fn heard(&mut self, id: u64, told: Told) {
        let Some(at) = self.members.iter().position(|member| member.id == id) else { return };
        let member = &mut self.members[at];
        match told {
            Told::Ready { endpoint, took } => {
                member.since = Some(self.office.clock.elapsed());
                let text = format!("{:.6}", took.as_secs_f64());
                self.log(Level::Info, "instance ready", id, &[("start_seconds", &text)]);
                self.office.metrics.apps.ready(&self.app.name, took);
                self.scaler.started(took.as_millis() as u64);
                // It may have been stopped meanwhile.
                if self.members[at].state == State::Starting {
                    self.members[at].state = State::Ready;
                    self.app.open(id, endpoint);
                }
            }
            Told::Well => {
                if member.state == State::Ready {
                    member.asks.send_if_modified(|ask| {
                        let was = *ask == Ask::Look;
                        *ask = if was { Ask::Run } else { *ask };
                        was
                    });
                    self.app.reopen(id);
                }
            }
            Told::Ended(end) => {
                let member = self.members.swap_remove(at);
                self.app.forget(id);
                self.over(&member, end);
            }
        }
    }

    /// An instance is no more: that was meant, or is a failure, after which the next one waits longer.
    fn over(&mut self, member: &Member, end: End) {
        let now = self.office.clock.elapsed();
        let lived = member.since.map_or(Duration::ZERO, |since| now - since);
        let lived = format!("{:.3}", lived.as_secs_f64());
        let (why, detail) = match end {
            End::Stopped { killed } => {
                let how = if killed { "killed" } else { "ended" };
                let fields = [("reason", member.why), ("how", how), ("ready_seconds", &*lived)];
                self.office.metrics.apps.ended(&self.app.name, member.why);
                return self.log(Level::Info, "instance stopped", member.id, &fields);
            }
            // By itself, though it was about to be told to.
            End::Left { status, clean: true } => {
                self.left = true;
                let fields = [("reason", "left"), ("how", &*status), ("ready_seconds", &*lived)];
                self.office.metrics.apps.ended(&self.app.name, "left");
                return self.log(Level::Info, "instance stopped", member.id, &fields);
            }
            End::Left { status, clean: false } => {
                self.left = true;
                ("crash", status)
            }
            End::Hung => ("hung", "it does not answer any more".into()),
            End::Failed(why) => ("start", why),
            End::Late => {
                let limit = self.app.settings.load().meant.start_timeout.as_secs_f64();
                ("late", format!("it was not ready within {limit} s"))
            }
        };
        self.office.metrics.apps.ended(&self.app.name, why);
        let pause = self.pause.failed(now, why == "late");
        let text = format!("{:.1}", pause.as_secs_f64());
        let fields = [
            ("reason", why),
            ("error", &*detail),
            ("ready_seconds", &*lived),
            ("retry_seconds", &text),
        ];
        self.log(Level::Error, "instance failed", member.id, &fields);
        let others = self.members.iter().any(|member| member.state == State::Ready);
        if !others && let Some(until) = self.pause.until() {
            let error =
                if why == "late" { UpstreamError::NotReady } else { UpstreamError::Resting(0) };
            self.app.rest(until, error);
        }
    }

    fn note(&self, next: Option<Duration>) {
        let mut counts = [0; STATES.len()];
        self.members.iter().for_each(|member| counts[member.state as usize] += 1);
        self.app.note(counts, self.decided, next);
    }

    fn tell_scale(&self, from: u32, to: Decision) {
        let (from, desired) = (from.to_string(), to.desired.to_string());
        let fields = [("from", &*from), ("to", &*desired), ("reason", to.reason.name())];
        self.office.event(Level::Info, "scaled", &self.app.name, None, &fields);
        self.office.metrics.apps.scaled(&self.app.name, to.reason.name());
    }

    fn log(&self, level: Level, message: &str, id: u64, fields: &[(&str, &str)]) {
        self.office.event(level, message, &self.app.name, Some(id), fields);
    }
}

impl Member {
    fn stop(&mut self, ask: Ask, why: &'static str) {
        if self.state != State::Stopping {
            (self.state, self.why) = (State::Stopping, why);
        }
        self.ask(ask);
    }

    fn ask(&self, ask: Ask) {
        self.asks.send_if_modified(|now| {
            let further = ask > *now;
            *now = ask.max(*now);
            further
        });
    }
}

fn now(office: &Office) -> Now {
    let unix = office.clock.wall().as_secs() as i64;
    Now { millis: office.clock.elapsed().as_millis() as u64, unix, offset: clock::offset(unix) }
}
