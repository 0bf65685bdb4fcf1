//! The agent: one step at a time towards what the node should run.
//!
//! Where it is with a release that it has not switched to yet is kept in memory alone: after a power cut it goes the same
//! way again, and finds most of it done.

use std::time::Duration;

use pilotlight_fleet::manifest::Safety;
use pilotlight_fleet::message::{Desired, Progress};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::Release;
use pilotlight_fleet::rollout::{Failure, Reported};
use pilotlight_fleet::window::{Windows, Zone, zone};

use crate::blobs::{self, Learnt};
use crate::trust::{Anchor, Believed};
use crate::watch::Watch;
use crate::{Files, Generation, Pointer, Trouble, World, stage};

mod find;
mod probation;
mod upkeep;

/// What an agent is told of its node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may sign.
    pub anchor: Anchor,
    /// What is too much for a new release.
    pub safety: Safety,
    /// Generations that are kept.
    pub keep: usize,
    /// Bytes of the disk that stay free.
    pub reserve: u64,
    /// When it may switch; at any time if nothing is said.
    pub windows: Option<Windows>,
    /// How often it looks whether what runs is what was laid out.
    pub check: Duration,
}

/// When to make the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Now,
    /// After a while, or when something else is wanted.
    Later(Duration),
    /// When something else is wanted.
    Settled,
}

/// How often a probation is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// After trouble that may pass: doubled up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(600));
/// A gateway that is not ready is waited for so often.
const PATIENCE: u32 = 3;
/// How often it looks whether a window is open.
const WINDOW: Duration = Duration::from_secs(20);
/// What the node lacks may be there in a while.
const LACKING: Duration = Duration::from_secs(60);

/// The agent of a node.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    desired: Option<Desired>,
    /// When that was heard.
    heard: Duration,
    /// When a controller answered last.
    contact: Option<Duration>,
    phase: Phase,
    /// What the gateway was made to run, by this agent.
    running: Option<String>,
    watch: Option<Watch>,
    on_trial: bool,
    troubles: u32,
    progress: Option<Progress>,
    believed: Option<Believed>,
    warnings: Vec<String>,
    /// When it looked last whether what runs is what was laid out.
    checked: Duration,
    /// Files that were not, since it has started.
    drift: u64,
    /// Since when a first release is waited for.
    waits: Option<Duration>,
}

/// Where it is with what is desired.
#[derive(Debug)]
enum Phase {
    /// At the beginning.
    Fresh,
    /// The release is verified.
    Verified(Box<Candidate>),
    /// Its files are laid out.
    Laid(Box<Candidate>),
    /// It is tested, and may be switched to.
    Ready(Box<Candidate>),
    /// It was given up before, and waits for somebody to lift that.
    Denied(Digest),
    /// Nothing is to be done, or can be.
    Over,
}

/// A release that may run.
#[derive(Debug)]
struct Candidate {
    release: Release,
    signed: Vec<u8>,
    generation: Generation,
    learnt: Learnt,
}

impl Agent {
    /// An agent that has just started, whatever happened before.
    pub fn new(settings: Settings) -> Agent {
        Agent {
            settings,
            desired: None,
            heard: Duration::ZERO,
            contact: None,
            phase: Phase::Fresh,
            running: None,
            watch: None,
            on_trial: false,
            troubles: 0,
            progress: None,
            believed: None,
            warnings: Vec::new(),
            checked: Duration::ZERO,
            drift: 0,
            waits: None,
        }
    }

    /// What the node should run. The newest counts; what was under way for another one is dropped.
    pub fn desire(&mut self, desired: Desired, now: Duration) {
        let same = self.desired.as_ref().is_some_and(|old| {
            (&old.release, &old.vars, old.serial, old.retry)
                == (&desired.release, &desired.vars, desired.serial, desired.retry)
        });
        if !same {
            self.phase = Phase::Fresh;
            self.troubles = 0;
            self.progress = None;
        }
        self.desired = Some(desired);
        self.heard = now;
    }

    /// A controller has answered.
    pub fn contact(&mut self, now: Duration) {
        self.contact = Some(now);
    }

    /// Where it is with what is desired.
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// What an operator should look after.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Files that had been changed and were put back, since it has started.
    pub fn drift(&self) -> u64 {
        self.drift
    }

    /// Whether there is a probation to be watched.
    pub fn is_on_trial(&self) -> bool {
        self.on_trial
    }

    /// Makes a step. `now` is a time that only rises.
    ///
    /// Errors: the disk does not take what must last; the step is made again.
    pub fn step(
        &mut self,
        files: &mut dyn Files,
        world: &mut dyn World,
        now: Duration,
    ) -> std::io::Result<Next> {
        let pointer = Pointer::read(files)?;
        self.on_trial = pointer.trial.is_some();
        if let Some(trial) = &pointer.trial {
            return self.prove(trial, &pointer, files, world, now);
        }
        if self.watch.take().is_some()
            && let Some(denied) = pointer.denied.last()
        {
            // Somebody else took it back: the launcher.
            let (failure, message) = (denied.failure, denied.message.clone());
            self.say(Reported::Failed(failure), Some(message));
            self.phase = Phase::Denied(denied.release.clone());
        }
        if let Phase::Denied(digest) = &self.phase
            && pointer.denies(digest).is_none()
        {
            self.phase = Phase::Fresh;
        }
        if self.looks_again(now) {
            self.phase = Phase::Fresh;
        }
        if let Some(good) = &pointer.good
            && self.running.as_deref() != Some(good.id.as_str())
        {
            return Ok(self.back(good, pointer.starts, world));
        }
        match self.towards(&pointer, files, world, now) {
            Ok(next) => Ok(next),
            Err(Trouble::Passing(message)) => {
                self.troubles += 1;
                self.note(Some(message));
                let pause = AGAIN.0 * 2u32.pow(self.troubles.min(10) - 1);
                Ok(Next::Later(pause.min(AGAIN.1)))
            }
            Err(Trouble::Lacking(message)) => {
                self.note(Some(message));
                Ok(Next::Later(LACKING))
            }
            Err(Trouble::Bad(message)) => {
                let release = match &self.phase {
                    Phase::Verified(c) | Phase::Laid(c) | Phase::Ready(c) => {
                        Some(c.generation.release.clone())
                    }
                    Phase::Fresh | Phase::Denied(_) | Phase::Over => None,
                };
                self.say(Reported::Rejected, Some(message.clone()));
                self.phase = Phase::Over;
                if let Some(release) = release {
                    Pointer::update(files, &mut |pointer| {
                        pointer.deny(&release, Failure::Rejected, &message);
                    })?;
                    self.phase = Phase::Denied(release);
                }
                Ok(Next::Settled)
            }
        }
    }

    /// The gateway runs what is good.
    fn back(&mut self, good: &Generation, starts: u64, world: &mut dyn World) -> Next {
        match world.switch(good, starts) {
            Ok(()) => {
                self.running = Some(good.id.clone());
                Next::Now
            }
            // The launcher starts it with the same.
            Err(_) => Next::Later(LOOK),
        }
    }

    /// A step of what comes before the switch.
    fn towards(
        &mut self,
        pointer: &Pointer,
        files: &mut dyn Files,
        world: &mut dyn World,
        now: Duration,
    ) -> Result<Next, Trouble> {
        let Some(desired) = self.desired.clone() else { return Ok(Next::Settled) };
        let Some(wanted) = &desired.release else { return Ok(Next::Settled) };
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Over => Ok(Next::Settled),
            Phase::Denied(digest) => {
                self.phase = Phase::Denied(digest);
                Ok(Next::Settled)
            }
            Phase::Fresh => {
                self.phase = Phase::Fresh;
                if desired.serial != 0 && desired.serial < pointer.seen {
                    self.say(
                        Reported::Idle,
                        Some(format!(
                            "wish {} is older than {}, which was followed",
                            desired.serial, pointer.seen
                        )),
                    );
                    self.phase = Phase::Over;
                    return Ok(Next::Settled);
                }
                self.find(wanted, &desired, pointer, files, world)
            }
            Phase::Verified(mut candidate) => {
                let fetched = self.fetch(&mut candidate, files, world);
                let laid = match fetched {
                    Ok(true) => {
                        self.troubles = 0;
                        Ok(false)
                    }
                    Ok(false) => stage::lay(
                        files,
                        world,
                        &candidate.generation,
                        (&candidate.release, &candidate.signed),
                        &desired.vars,
                    )
                    .map(|()| true),
                    Err(trouble) => Err(trouble),
                };
                self.phase = match laid {
                    Ok(true) => Phase::Laid(candidate),
                    _ => Phase::Verified(candidate),
                };
                laid.map(|_| Next::Now)
            }
            Phase::Laid(candidate) => {
                let tested = world.test(&candidate.generation, &candidate.release);
                self.phase = match tested {
                    Ok(()) => Phase::Ready(candidate),
                    Err(_) => Phase::Laid(candidate),
                };
                tested?;
                self.say(Reported::Ready, None);
                Ok(Next::Now)
            }
            Phase::Ready(candidate) => {
                let lease = desired.lease.map(Duration::from_millis);
                let late = lease.is_some_and(|lease| now.saturating_sub(self.heard) > lease);
                if !desired.switch || late {
                    self.phase = Phase::Ready(candidate);
                    return Ok(Next::Settled);
                }
                if let Err(why) = self.may_switch(pointer, &candidate.generation, world) {
                    self.phase = Phase::Ready(candidate);
                    self.note(Some(why));
                    return Ok(Next::Later(WINDOW));
                }
                let seen = world.observe();
                // A gateway that is away now is no fault of this release; one that stays away may need it.
                if pointer.good.is_some() && !seen.ready && self.troubles < PATIENCE {
                    self.phase = Phase::Ready(candidate);
                    return Err(Trouble::Passing("the gateway is not ready".into()));
                }
                let before = seen.counters.unwrap_or_default();
                self.say(Reported::Switching, None);
                // From here on the launcher would start it.
                let begun = Pointer::begin(files, &candidate.generation, desired.serial, before);
                if begun.is_err() {
                    self.phase = Phase::Ready(candidate);
                }
                begun?;
                self.running = None;
                Ok(Next::Now)
            }
        }
    }

    /// Whether this node may switch now, by its own windows and means.
    fn may_switch(
        &self,
        pointer: &Pointer,
        generation: &Generation,
        world: &mut dyn World,
    ) -> Result<(), String> {
        if pointer.needs_start(generation) && pointer.good.is_some() && !world.is_launched() {
            return Err("it needs another start of the gateway, and no launcher is there".into());
        }
        let Some(windows) = &self.settings.windows else { return Ok(()) };
        let (now, may_be_right) = world.time(pointer.time);
        let named = if let Zone::Named(name) = &windows.zone { name } else { "UTC" };
        match zone(named) {
            // Nobody knows whether it is open.
            _ if !may_be_right => {
                Err("it waits for its window, and for a clock that is right".into())
            }
            Some(zone) if windows.open(&zone, now) => Ok(()),
            _ => Err("it waits for its window".into()),
        }
    }

    fn fetch(
        &mut self,
        candidate: &mut Candidate,
        files: &mut dyn Files,
        world: &mut dyn World,
    ) -> Result<bool, Trouble> {
        candidate.learnt.attempt = candidate.learnt.attempt.max(self.troubles as usize);
        blobs::fetch(files, world, &candidate.release, &mut candidate.learnt)
    }

    fn say(&mut self, reported: Reported, message: Option<String>) {
        let serial = self.desired.as_ref().map_or(0, |desired| desired.serial);
        self.progress = Some(Progress { serial, reported, message });
    }

    /// What keeps it where it is.
    fn note(&mut self, message: Option<String>) {
        let reported = self.progress.as_ref().map_or(Reported::Idle, |progress| progress.reported);
        self.say(reported, message);
    }
}
