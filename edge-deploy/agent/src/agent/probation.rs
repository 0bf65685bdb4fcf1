//! Probation: a release that runs, until it has proved itself or is given up.

use std::time::Duration;

use pilotlight_fleet::manifest::Confirm;
use pilotlight_fleet::rollout::{Failure, Reported};

use super::{Agent, LOOK, Next, Phase};
use crate::watch::Watch;
use crate::{Files, Pointer, Trial, World};

/// Without a word from an operator.
const PROBATION: Duration = Duration::from_secs(120);
/// A controller that was heard of within this time is within reach.
const ONLINE: Duration = Duration::from_secs(3600);

impl Agent {
    /// A step of a probation.
    pub(super) fn prove(
        &mut self,
        trial: &Trial,
        pointer: &Pointer,
        files: &mut dyn Files,
        world: &mut dyn World,
        now: Duration,
    ) -> std::io::Result<Next> {
        let id = &trial.generation.id;
        if self.gives_up(trial, pointer) {
            Pointer::take_back(files, None)?;
            (self.watch, self.waits) = (None, None);
            (self.phase, self.progress) = (Phase::Fresh, None);
            return Ok(Next::Now);
        }
        if self.running.as_ref() != Some(id) {
            if let Err(why) = world.switch(&trial.generation, pointer.starts) {
                let why = format!("the gateway does not take it: {why}");
                return match pointer.good.is_none() {
                    true => self.wait_for_first(files, world, now, &why),
                    false => self.fail(files, Failure::Probe, &why),
                };
            }
            self.running = Some(id.clone());
        }
        let watch = self.watch.get_or_insert_with(|| Watch::new(now, trial.before));
        let wrong = watch.judge(now, &self.settings.safety, world.observe());
        let (since, is_ready) = (watch.since, watch.is_ready(now));
        if let Some((failure, message)) = wrong {
            return match pointer.good.is_none() && failure == Failure::Probe {
                true => self.wait_for_first(files, world, now, &message),
                false => self.fail(files, failure, &message),
            };
        }
        let probation = self.desired.as_ref().and_then(|desired| desired.probation);
        let probation = probation.map_or(PROBATION, Duration::from_millis);
        // However short it is: who is not ready has proved nothing.
        if now.saturating_sub(since) < probation || !is_ready {
            return Ok(Next::Later(LOOK));
        }
        if !self.is_confirmed(since) {
            let waited = now.saturating_sub(since + probation);
            if waited < self.settings.safety.confirm_in {
                return Ok(Next::Later(LOOK));
            }
            let why = "no controller is within reach with this release";
            return self.fail(files, Failure::RolledBack, why);
        }
        let pointer = Pointer::commit(files)?;
        (self.watch, self.waits, self.checked) = (None, None, now);
        self.phase = Phase::Over;
        self.say(Reported::Committed, None);
        drop(self.clean(&pointer, files, world));
        Ok(Next::Now)
    }

    /// The gateway is not there with a node's first release. Without a launcher that is not its fault; with one it is
    /// given up after a while, and the node has nothing again: nothing is what ran before.
    fn wait_for_first(
        &mut self,
        files: &mut dyn Files,
        world: &mut dyn World,
        now: Duration,
        why: &str,
    ) -> std::io::Result<Next> {
        let since = *self.waits.get_or_insert(now);
        if !world.is_launched() {
            self.waits = None;
        } else if now.saturating_sub(since) >= self.settings.safety.confirm_in {
            return self.fail(files, Failure::Probe, why);
        }
        self.note(Some(why.to_owned()));
        Ok(Next::Later(LOOK))
    }

    /// Whether another release is wanted by now; of a node that had none also whether none is.
    fn gives_up(&self, trial: &Trial, pointer: &Pointer) -> bool {
        let Some(desired) = &self.desired else { return false };
        let Some(wanted) = &desired.release else {
            return desired.serial > trial.serial && pointer.good.is_none();
        };
        let name = format!("{}@{}", wanted.name, wanted.version);
        let other = wanted.digest.as_ref().is_some_and(|d| *d != trial.generation.release);
        let newer = desired.serial == 0 || desired.serial > trial.serial;
        newer && (name != trial.generation.name || other)
    }

    /// Whether who must be reached through the release was.
    fn is_confirmed(&self, since: Duration) -> bool {
        let reached = self.contact.is_some_and(|at| at > since);
        match self.settings.safety.confirm {
            Confirm::Local => true,
            Confirm::Controller => reached,
            Confirm::ControllerIfWasOnline => {
                let was = self.contact.is_some_and(|at| since.saturating_sub(at) < ONLINE);
                reached || !was
            }
        }
    }

    fn fail(
        &mut self,
        files: &mut dyn Files,
        failure: Failure,
        message: &str,
    ) -> std::io::Result<Next> {
        let pointer = Pointer::take_back(files, Some((failure, message)))?;
        (self.watch, self.waits, self.running) = (None, None, None);
        let denied = pointer.denied.last().map(|denied| denied.release.clone());
        self.phase = denied.map_or(Phase::Over, Phase::Denied);
        self.say(Reported::Failed(failure), Some(message.to_owned()));
        Ok(Next::Now)
    }
}
