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
        if self.gives_up(trial) {
            Pointer::take_back(files, None)?;
            self.watch = None;
            self.phase = Phase::Fresh;
            return Ok(Next::Now);
        }
        if self.running.as_ref() != Some(id) {
            if let Err(why) = world.switch(&trial.generation) {
                // Where nothing runs yet, the launcher is about to start it.
                if pointer.good.is_none() {
                    self.note(Some(why));
                    return Ok(Next::Later(LOOK));
                }
                return self.fail(
                    files,
                    Failure::Probe,
                    &format!("the gateway does not take it: {why}"),
                );
            }
            self.running = Some(id.clone());
        }
        let watch = self.watch.get_or_insert_with(|| Watch::new(now, trial.before));
        let wrong = watch.judge(now, &self.settings.safety, world.observe());
        let (since, is_ready) = (watch.since, watch.is_ready(now));
        if let Some((failure, message)) = wrong {
            // The first release of a node has nothing to go back to; a gateway that is not there yet is not its fault.
            if pointer.good.is_some() {
                return self.fail(files, failure, &message);
            }
            self.note(Some(message));
            return Ok(Next::Later(LOOK));
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
        self.watch = None;
        self.phase = Phase::Over;
        self.say(Reported::Committed, None);
        drop(self.clean(&pointer, files));
        Ok(Next::Now)
    }

    /// Whether another release is wanted by now.
    fn gives_up(&self, trial: &Trial) -> bool {
        let Some(desired) = &self.desired else { return false };
        let newer = desired.serial == 0 || desired.serial > trial.serial;
        let wanted = desired.release.as_ref();
        newer
            && wanted.is_some_and(|wanted| {
                let name = format!("{}@{}", wanted.name, wanted.version);
                let other = wanted.digest.as_ref().is_some_and(|d| *d != trial.generation.release);
                name != trial.generation.name || other
            })
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
        Pointer::take_back(files, Some((failure, message)))?;
        self.watch = None;
        self.running = None;
        self.phase = Phase::Over;
        self.say(Reported::Failed(failure), Some(message.to_owned()));
        Ok(Next::Now)
    }
}
