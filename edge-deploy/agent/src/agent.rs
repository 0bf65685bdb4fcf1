//! The agent: one step at a time towards what the node should run.
//!
//! Where it is with a release that it has not switched to yet is kept in memory alone: after a power cut it goes the same
//! way again, and finds most of it done.

use std::time::Duration;

use pilotlight_fleet::manifest::Safety;
use pilotlight_fleet::message::{Desired, Progress, Wanted};
use pilotlight_fleet::release::{LARGEST, Release, Trust};
use pilotlight_fleet::rollout::{Failure, Reported};
use pilotlight_fleet::version::Version;

use crate::watch::Watch;
use crate::{Files, GENERATIONS, Generation, Pointer, Trouble, World, stage};

mod probation;

/// What an agent is told of its node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may sign.
    pub trust: Trust,
    /// What is too much for a new release.
    pub safety: Safety,
    /// Generations that are kept.
    pub keep: usize,
    /// Bytes of the disk that stay free.
    pub reserve: u64,
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
    /// Nothing is to be done, or can be.
    Over,
}

/// A release that may run.
#[derive(Debug)]
struct Candidate {
    release: Release,
    signed: Vec<u8>,
    generation: Generation,
    attempt: usize,
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
            self.phase = Phase::Over;
        }
        if let Some(good) = &pointer.good
            && self.running.as_deref() != Some(good.id.as_str())
        {
            return Ok(self.back(good, world));
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
                    Phase::Fresh | Phase::Over => None,
                };
                if let Some(release) = release {
                    Pointer::update(files, &mut |pointer| {
                        pointer.deny(&release, Failure::Rejected, &message);
                    })?;
                }
                self.say(Reported::Rejected, Some(message));
                self.phase = Phase::Over;
                Ok(Next::Settled)
            }
        }
    }

    /// The gateway runs what is good.
    fn back(&mut self, good: &Generation, world: &mut dyn World) -> Next {
        match world.switch(good) {
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

    /// Finds the release, on this disk or at a source, and verifies it.
    fn find(
        &mut self,
        wanted: &Wanted,
        desired: &Desired,
        pointer: &Pointer,
        files: &mut dyn Files,
        world: &mut dyn World,
    ) -> Result<Next, Trouble> {
        let name = format!("{}@{}", wanted.name, wanted.version);
        let attempt = self.troubles as usize;
        let signed = match self.kept(wanted, files) {
            Some(signed) => signed,
            None => world.release(&wanted.name, &wanted.version, attempt)?,
        };
        let unfit = |why: String| Trouble::Passing(format!("{name}: {why}"));
        let (release, digest) =
            Release::verify(&signed, &self.settings.trust).map_err(|why| unfit(why.to_string()))?;
        if (&release.name, &release.version) != (&wanted.name, &wanted.version) {
            return Err(unfit(format!(
                "the source has {}@{} there",
                release.name, release.version
            )));
        }
        if wanted.digest.as_ref().is_some_and(|wanted| *wanted != digest) {
            return Err(unfit(format!("the source has another one there, {digest}")));
        }
        let generation = stage::generation(&release, &digest, &desired.vars);
        if pointer.good.as_ref() == Some(&generation) {
            self.repair(&release, &generation, desired, files, world)?;
            self.say(Reported::Committed, None);
            self.clean(pointer, files)?;
            self.phase = Phase::Over;
            // Where it was mended, the gateway loads it again.
            return Ok(if self.running.is_none() { Next::Now } else { Next::Settled });
        }
        if let Some(denied) = pointer.denies(&digest).filter(|_| !desired.retry) {
            let reported = match denied.failure {
                Failure::Rejected => Reported::Rejected,
                failure => Reported::Failed(failure),
            };
            self.say(reported, Some(denied.message.clone()));
            self.phase = Phase::Over;
            return Ok(Next::Settled);
        }
        if release.epoch < pointer.floor {
            let why = format!(
                "{name} has epoch {}, this node takes none below {}",
                release.epoch, pointer.floor
            );
            self.say(Reported::Rejected, Some(why));
            self.phase = Phase::Over;
            return Ok(Next::Settled);
        }
        if let Some(needs) = &release.needs {
            let version = world.version();
            let fits = version.as_deref().and_then(Version::parse).is_some_and(|v| needs.hold(&v));
            if !fits {
                let has = version.unwrap_or_else(|| "none".into());
                return Err(Trouble::Lacking(format!(
                    "{name} needs a gateway {needs}, this is {has}"
                )));
            }
        }
        if let Some(secret) = release.secrets.iter().find(|secret| world.secret(secret).is_none()) {
            return Err(Trouble::Lacking(format!("{name} needs the secret {secret:?}")));
        }
        self.room(&release, files)?;
        self.phase =
            Phase::Verified(Box::new(Candidate { release, signed, generation, attempt: 0 }));
        self.say(Reported::Idle, None);
        Ok(Next::Now)
    }

    /// A release that was laid out before.
    fn kept(&self, wanted: &Wanted, files: &dyn Files) -> Option<Vec<u8>> {
        files.list(GENERATIONS).ok()?.iter().filter(|name| name.ends_with(".release")).find_map(
            |name| {
                let signed = files.read(&format!("{GENERATIONS}/{name}"), LARGEST as u64).ok()?;
                let (release, digest) = Release::verify(&signed, &self.settings.trust).ok()?;
                let same = (&release.name, &release.version) == (&wanted.name, &wanted.version)
                    && wanted.digest.as_ref().is_none_or(|wanted| *wanted == digest);
                same.then_some(signed)
            },
        )
    }

    /// Whether there is room for what is not there yet.
    fn room(&self, release: &Release, files: &mut dyn Files) -> Result<(), Trouble> {
        let needed = stage::missing(files, release) + self.settings.reserve.max(release.free_disk);
        let free = files.free()?;
        match free >= needed {
            true => Ok(()),
            false => Err(Trouble::Lacking(format!(
                "{needed} bytes must be free on the disk, {free} are"
            ))),
        }
    }

    fn fetch(
        &mut self,
        candidate: &mut Candidate,
        files: &mut dyn Files,
        world: &mut dyn World,
    ) -> Result<bool, Trouble> {
        candidate.attempt = candidate.attempt.max(self.troubles as usize);
        stage::fetch(files, world, &candidate.release, &mut candidate.attempt)
    }

    /// What runs is what it should be, or is made so again: files may have been changed by hand, or by a disk.
    fn repair(
        &mut self,
        release: &Release,
        generation: &Generation,
        desired: &Desired,
        files: &mut dyn Files,
        world: &mut dyn World,
    ) -> Result<(), Trouble> {
        if stage::stands(files, world, generation, release, &desired.vars)? {
            return Ok(());
        }
        let mut attempt = 0;
        while stage::fetch(files, world, release, &mut attempt)? {}
        stage::mend(files, world, generation, release, &desired.vars)?;
        self.running = None;
        Ok(())
    }

    /// Removes what is too old.
    fn clean(&self, pointer: &Pointer, files: &mut dyn Files) -> std::io::Result<()> {
        let now = [pointer.good.as_ref(), pointer.target()].into_iter().flatten();
        let mut kept: Vec<String> = now.map(|generation| generation.id.clone()).collect();
        kept.dedup();
        kept.extend(pointer.history.iter().cloned());
        kept.truncate(self.settings.keep.max(2));
        let mut releases = Vec::new();
        for id in &kept {
            let signed = files.read(&stage::signed(id), LARGEST as u64);
            if let Ok((release, _)) = signed
                .map_err(drop)
                .and_then(|bytes| Release::verify(&bytes, &self.settings.trust).map_err(drop))
            {
                releases.push(release);
            }
        }
        stage::clean(files, &kept, &releases)
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
