//! How many instances of an application there are to be.
//!
//! A [`Scaler`] is told what goes on ([`observe`](Scaler::observe)) and asked how many instances it wants
//! ([`decide`](Scaler::decide)); who asks starts and stops them. The number is the highest of what several
//! voices ask for: the load of a minute, a rise that cannot wait, the schedule, what the last days foretell,
//! and what is likely to come soon. Up goes at once, but not past what may be starting at a time; down goes
//! only when less was enough for a whole cool-down, in steps.
//!
//! Nothing flaps, by construction: instances are stopped no sooner than a cool-down after the last were
//! started, and each change of direction puts off the next stop by a cool-down more. So in any n cool-downs
//! there are at most n + 1 changes of direction. An application that is stopped because it idles, which
//! takes its idle time, is apart from this.

use pilotlight_config::manifest::{Scale, Schedule, Zone};

mod forecast;
mod gaps;
mod lead;
mod mean;
mod reason;
mod state;

use forecast::Forecast;
use gaps::{Gaps, Plan};
use lead::Lead;
use mean::{Mean, Peak};

pub use reason::Reason;

/// Slots of a cool-down, and steps down in one.
const STEPS: u64 = 8;

/// The cool-down is doubled at most so often, when stops were regretted.
const MOST_PATIENCE: u32 = 2;

/// How long to wait at most until the next look, while there is anything.
const TICK: u64 = 2000;

/// Seconds beyond the start of an instance for which the forecast is asked.
const MARGIN: i64 = 60;

/// The first byte of a saved state.
const VERSION: u8 = 1;

/// The most bytes of a saved state.
pub const STATE_MAX: usize = 4608;

/// A time, on the clocks that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back.
    pub millis: u64,
    /// Seconds since 1970.
    pub unix: i64,
    /// Seconds by which the machine's local time is ahead of UTC.
    pub offset: i32,
}

impl Now {
    fn local(self) -> i64 {
        self.unix + i64::from(self.offset)
    }
}

/// What goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Requests that instances are busy with.
    pub in_flight: u32,
    /// Requests that wait for an instance.
    pub queued: u32,
    /// Requests that came since the last sample.
    pub arrivals: u32,
    /// Instances that take requests.
    pub ready: u32,
}

impl Sample {
    fn load(self) -> u32 {
        self.in_flight.saturating_add(self.queued)
    }
}

/// How many instances, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// How many there are to be.
    pub desired: u32,
    /// What says so.
    pub reason: Reason,
}

/// Decides for one application.
#[derive(Debug, Clone)]
pub struct Scaler {
    scale: Scale,
    sample: Sample,
    /// When the last sample was taken.
    seen: u64,
    stable: Mean,
    panic: Mean,
    /// What was wanted of late.
    wanted: Peak,
    desired: u32,
    /// A rise that could not wait holds what there is until then.
    panics_until: u64,
    moves: Moves,
    lead: Lead,
    /// Since when there is no request; `None`: there is one.
    idle_since: Option<u64>,
    /// What the gaps say of the current one.
    plan: Plan,
    gaps: Gaps,
    forecast: Option<Box<Forecast>>,
}

/// When it went which way.
#[derive(Debug, Clone, Copy, Default)]
struct Moves {
    up: Option<u64>,
    down: Option<u64>,
    /// The last was down.
    downward: bool,
    /// No stop before then: each change of direction costs a cool-down.
    hold_until: u64,
    /// How often the cool-down is doubled, and since when.
    patience: u32,
    patient_since: u64,
}

impl Scaler {
    /// Nothing has come yet, and nothing is there.
    pub fn new(scale: &Scale, now: Now) -> Scaler {
        let millis = |time: std::time::Duration| time.as_millis() as u64;
        let cooldown = millis(scale.cooldown).max(1);
        Scaler {
            sample: Sample::default(),
            seen: now.millis,
            stable: Mean::new(millis(scale.window)),
            panic: Mean::new(millis(scale.panic_window)),
            wanted: Peak::new(cooldown.div_ceil(STEPS)),
            desired: 0,
            panics_until: 0,
            moves: Moves::default(),
            lead: Lead::default(),
            idle_since: Some(now.millis),
            plan: Plan { stop: millis(scale.idle), back: 0, give_up: 0 },
            gaps: Gaps::NONE,
            forecast: scale.predict.then(|| Box::new(Forecast::new())),
            scale: scale.clone(),
        }
    }

    /// Goes on under other settings.
    pub fn adjust(&mut self, scale: &Scale) {
        let millis = |time: std::time::Duration| time.as_millis() as u64;
        let before = std::mem::replace(&mut self.scale, scale.clone());
        if before.window != scale.window {
            self.stable = Mean::new(millis(scale.window));
        }
        if before.panic_window != scale.panic_window {
            self.panic = Mean::new(millis(scale.panic_window));
        }
        if before.cooldown != scale.cooldown {
            self.wanted = Peak::new(self.cooldown().max(1).div_ceil(STEPS));
        }
        if before.predict != scale.predict {
            self.forecast = scale.predict.then(|| Box::new(Forecast::new()));
        }
        self.replan();
    }

    /// What goes on now. To be called when a request comes to an empty application or the last one ends, and
    /// every second or two while there is any.
    pub fn observe(&mut self, now: Now, sample: Sample) {
        let load = f64::from(self.sample.load());
        self.stable.add(self.seen, now.millis, load);
        self.panic.add(self.seen, now.millis, load);
        if let Some(forecast) = &mut self.forecast {
            forecast.observe(now.local(), now.millis, load, self.panic.get());
        }
        self.seen = self.seen.max(now.millis);
        self.sample = sample;
        let came = sample.arrivals > 0 || sample.load() > 0;
        match self.idle_since {
            Some(since) if came => {
                self.idle_since = (sample.load() == 0).then_some(now.millis);
                if self.gaps.add(now.millis.saturating_sub(since)) {
                    self.replan();
                }
            }
            None if sample.load() == 0 => self.idle_since = Some(now.millis),
            _ => {}
        }
    }

    /// An instance was started, and took so many milliseconds until it was ready.
    pub fn started(&mut self, millis: u64) {
        self.lead.add(millis);
    }

    /// How many instances there are to be from now on.
    pub fn decide(&mut self, now: Now) -> Decision {
        let want = self.want(now);
        self.wanted.add(now.millis, want.desired);
        let decision = match want.desired {
            number if number > self.desired => self.up(now.millis, want),
            number if number < self.desired => self.down(now.millis, want),
            _ => want,
        };
        self.desired = decision.desired;
        decision
    }

    /// When to look again, if no request comes before: `None`, never.
    pub fn next(&self, now: Now) -> Option<u64> {
        if self.desired > 0 || self.sample.load() > 0 {
            return Some(now.millis + TICK);
        }
        let lead = self.lead.millis();
        let back = match (self.idle_since, self.plan.back) {
            (None, _) | (_, 0) => None,
            (Some(since), back) => Some((since + back).saturating_sub(lead)),
        };
        let back = back.filter(|at| *at > now.millis);
        let ahead = (lead / 1000) as i64;
        let local = now.local();
        let rise = self.forecast.as_ref().and_then(|f| f.rise(local + ahead + MARGIN));
        let scheduled = self.scale.schedule.iter().filter(|entry| entry.min > 0);
        let scheduled = scheduled.filter_map(|entry| {
            let minute = (clock(entry, now) + ahead).div_euclid(60) + 1;
            Some(entry.cron.next(minute)? * 60 - ahead - clock(entry, now))
        });
        let seconds = scheduled.chain(rise).min();
        let at = seconds.map(|seconds| now.millis + seconds.max(1).unsigned_abs() * 1000);
        at.into_iter().chain(back).min()
    }

    /// What outlives a sleep: at most [`STATE_MAX`] bytes.
    pub fn save(&self, now: Now) -> Vec<u8> {
        let mut out = state::Writer::default();
        out.u8(VERSION);
        out.i64(now.unix);
        let idle = self.idle_since.map(|since| now.millis.saturating_sub(since) / 1000);
        out.i64(idle.map_or(-1, |seconds| seconds as i64));
        out.u8(self.moves.patience as u8);
        self.lead.save(&mut out);
        self.gaps.save(&mut out);
        out.u8(self.forecast.is_some().into());
        if let Some(forecast) = &self.forecast {
            forecast.save(&mut out);
        }
        out.0
    }

    /// Goes on from a state that was saved; `asleep`: no request can have come since then. False: it is none,
    /// or of another version, and nothing has changed.
    pub fn restore(&mut self, now: Now, state: &[u8], asleep: bool) -> bool {
        let restored = self.read(now, &mut state::Reader(state), asleep);
        restored.map(|scaler| *self = scaler).is_some()
    }

    fn read(&self, now: Now, from: &mut state::Reader<'_>, asleep: bool) -> Option<Scaler> {
        let mut scaler = self.clone();
        if from.u8()? != VERSION {
            return None;
        }
        let saved = from.i64()?;
        let idle = from.i64()?;
        // A clock that was set back says nothing of how long it was.
        let away = now.unix.checked_sub(saved).filter(|seconds| *seconds >= 0 && asleep);
        if let (Some(away), 0..) = (away, idle) {
            let quiet = away.saturating_add(idle).unsigned_abs().saturating_mul(1000);
            scaler.idle_since = Some(now.millis.saturating_sub(quiet));
        }
        scaler.moves.patience = u32::from(from.u8()?).min(MOST_PATIENCE);
        scaler.moves.patient_since = now.millis;
        scaler.lead = Lead::load(from)?;
        scaler.gaps = Gaps::load(from)?;
        scaler.replan();
        if from.u8()? != 0
            && let Some(forecast) = &mut scaler.forecast
        {
            let quiet = away.map(|away| now.local() - away);
            forecast.load(from, quiet, (now.local(), now.millis))?;
        }
        Some(scaler)
    }

    /// The load that an instance is meant to have.
    fn per(&self) -> f64 {
        self.scale.target * f64::from(self.scale.concurrency)
    }

    fn cooldown(&self) -> u64 {
        self.scale.cooldown.as_millis() as u64
    }

    /// How long an application is there at least, once it was started.
    fn least(&self) -> u64 {
        (self.scale.idle.as_millis() as u64).min(2 * self.cooldown())
    }

    fn replan(&mut self) {
        let idle = self.scale.idle.as_millis() as u64;
        self.plan = match self.scale.predict {
            true => self.gaps.plan(idle, self.least()),
            false => Plan { stop: idle, back: 0, give_up: 0 },
        };
    }

    /// The highest of what all voices ask for.
    fn want(&mut self, now: Now) -> Decision {
        let stable = self.stable.get();
        let rise = self.instances(self.panic.get());
        let ready = self.sample.ready.max(1);
        // What those that are there can take, one instance above all, is no reason.
        let over = self.panic.get() > f64::from(ready) * f64::from(self.scale.concurrency);
        if over && rise >= 2 * ready {
            self.panics_until = now.millis + self.scale.window.as_millis() as u64;
        }
        let panics = now.millis < self.panics_until;
        let (quiet, quiet_reason) = self.in_gap(now.millis);
        let first = u32::from(self.sample.load() > 0);
        // After the idle time there is no load, whatever a longer window still says of it.
        let is_over = quiet_reason != Reason::Recent && self.idle_since.is_some();
        let load = if is_over { 0 } else { self.steady(stable) };
        let panics = panics && !is_over;
        let voices = [
            (self.scale.min, Reason::Min),
            (self.scheduled(now), Reason::Schedule),
            (load, Reason::Load),
            (if panics { rise } else { 0 }, Reason::Panic),
            (self.foretold(now, load.max(rise)), Reason::Forecast),
            (quiet, quiet_reason),
            (first, if self.desired == 0 { Reason::Activate } else { Reason::Load }),
        ];
        let most = (0, Reason::Idle);
        let most = voices
            .into_iter()
            .fold(most, |most, voice| if voice.0 > most.0 { voice } else { most });
        match most {
            (wanted, _) if wanted > self.scale.max => {
                Decision { desired: self.scale.max, reason: Reason::Max }
            }
            (desired, reason) => Decision { desired, reason },
        }
    }

    /// Instances for a load.
    fn instances(&self, load: f64) -> u32 {
        // Sums of times do not come out even.
        (load / self.per() - 1e-6).ceil().max(0.0) as u32
    }

    /// The same, but as many as there are as long as the load is near what they are for.
    fn steady(&self, load: f64) -> u32 {
        let tolerance = self.scale.tolerance;
        let up = self.instances(load / (1.0 + tolerance));
        let down = self.instances(load / (1.0 - tolerance).max(0.01));
        self.desired.clamp(up, down.max(up))
    }

    /// What the schedule asks for at the time at which an instance that starts now is ready.
    fn scheduled(&self, now: Now) -> u32 {
        let ahead = (self.lead.millis() / 1000) as i64;
        let holds = |entry: &&Schedule| {
            let clock = clock(entry, now);
            let hold = (entry.hold.as_secs() / 60) as i64;
            let minute = (clock + ahead).div_euclid(60);
            entry.cron.last(minute, hold + ahead.div_euclid(60)).is_some()
        };
        self.scale.schedule.iter().filter(holds).map(|entry| entry.min).max().unwrap_or(0)
    }

    /// What the forecast asks for; it is believed only so far from what is.
    fn foretold(&self, now: Now, present: u32) -> u32 {
        let ahead = (self.lead.millis() / 1000) as i64 + MARGIN;
        let highest = self.forecast.as_ref().and_then(|f| f.highest(now.local(), ahead));
        let wanted = highest.map_or(0, |load| self.steady(load));
        wanted.min(present.saturating_mul(2).saturating_add(2))
    }

    /// Without a request: whether to keep an instance, or to start one.
    fn in_gap(&self, now: u64) -> (u32, Reason) {
        let Some(since) = self.idle_since else { return (0, Reason::Idle) };
        let quiet = now.saturating_sub(since);
        let back = self.plan.back.saturating_sub(self.lead.millis());
        if quiet < self.plan.stop {
            return (u32::from(self.desired > 0), Reason::Recent);
        }
        (u32::from(self.plan.back > 0 && (back..self.plan.give_up).contains(&quiet)), Reason::Gap)
    }

    fn up(&mut self, now: u64, want: Decision) -> Decision {
        let (have, cooldown) = (self.desired, self.cooldown());
        // What was just stopped is not started again while what is left can do the work.
        let just = self.moves.down.is_some_and(|down| now < down + cooldown);
        let room = f64::from(have * self.scale.concurrency);
        let bears = matches!(want.reason, Reason::Load | Reason::Forecast | Reason::Panic);
        if just && have > 0 && bears && self.panic.get() < room * 0.95 {
            return Decision { desired: have, reason: Reason::Cooldown };
        }
        let surge = self.scale.surge.unwrap_or(self.sample.ready.max(4));
        let most = self.sample.ready.saturating_add(surge).max(have);
        let next = want.desired.min(most);
        if next == have {
            return Decision { desired: have, reason: Reason::Surge };
        }
        if self.moves.downward {
            self.turn(now);
            let soon = cooldown << self.moves.patience;
            if have > 0 && self.moves.down.is_some_and(|down| now < down + soon) {
                self.moves.patience = MOST_PATIENCE.min(self.moves.patience + 1);
                self.moves.patient_since = now;
            }
        }
        self.moves.downward = false;
        self.moves.up = Some(now);
        let reason = if next < want.desired { Reason::Surge } else { want.reason };
        Decision { desired: next, reason }
    }

    fn down(&mut self, now: u64, want: Decision) -> Decision {
        let (have, cooldown) = (self.desired, self.cooldown());
        let since = |at: Option<u64>| at.map_or(u64::MAX, |at| now.saturating_sub(at));
        if want.desired == 0 && since(self.moves.up) >= self.least() {
            self.went_down(now);
            return want;
        }
        let moves = &mut self.moves;
        if moves.patience > 0 && now.saturating_sub(moves.patient_since) > 32 * cooldown {
            moves.patience -= 1;
            moves.patient_since = now;
        }
        let enough = self.wanted.over(cooldown << moves.patience).max(want.desired);
        let settled = now >= moves.hold_until
            && now >= self.panics_until
            && since(moves.up) >= cooldown
            && since(moves.down) >= cooldown / STEPS;
        if enough.max(1) >= have || !settled {
            return Decision { desired: have, reason: Reason::Cooldown };
        }
        let step = (f64::from(have) * self.scale.shrink) as u32;
        self.went_down(now);
        let desired = enough.max(1).max(have - step.clamp(1, have));
        Decision { desired, reason: Reason::Shrink }
    }

    fn went_down(&mut self, now: u64) {
        if !self.moves.downward && self.moves.up.is_some() {
            self.turn(now);
        }
        self.moves.downward = true;
        self.moves.down = Some(now);
    }

    fn turn(&mut self, now: u64) {
        self.moves.hold_until = self.moves.hold_until.max(now) + self.cooldown();
    }
}

/// What the clock of an entry's zone shows, as seconds since 1970.
fn clock(entry: &Schedule, now: Now) -> i64 {
    match entry.zone {
        Zone::Local => now.local(),
        Zone::Fixed(offset) => now.unix + i64::from(offset),
    }
}

#[cfg(test)]
mod tests;
