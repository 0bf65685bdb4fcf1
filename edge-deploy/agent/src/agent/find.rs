//! From a wish to a release that may run: whom to believe, what was signed, whether this node can take it.

use pilotlight_fleet::message::{Desired, Wanted};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{self, BUILT, LARGEST, Release, root};
use pilotlight_fleet::rollout::{Failure, Reported};
use pilotlight_fleet::version::Version;

use super::{Agent, Candidate, Next, Phase};
use crate::blobs::{self, Learnt};
use crate::trust::{self, Believed};
use crate::{Files, GENERATIONS, Pointer, Trouble, World, stage};

/// A clock that is further ahead of all that was signed is said to be.
const AHEAD: i64 = 5 * 365 * 86_400;
/// A release's time counts up to so long after the last root's and this build's: a stolen key, or a machine with a wrong
/// clock, must not make a node take the certificates of today for old ones.
const LATER: i64 = 7 * 86_400;

impl Agent {
    /// Finds the release, on this disk or at a source, and verifies it.
    pub(super) fn find(
        &mut self,
        wanted: &Wanted,
        desired: &Desired,
        pointer: &Pointer,
        files: &mut dyn Files,
        world: &mut dyn World,
    ) -> Result<Next, Trouble> {
        let name = format!("{}@{}", wanted.name, wanted.version);
        let attempt = self.troubles as usize;
        let (believed, hindrance) = self.follow(pointer, files, world)?;
        let unfit = |why: String| Trouble::Passing(format!("{name}: {why}"));
        let (release, digest, signed) = match kept(wanted, pointer, &believed, files) {
            Some(kept) => kept,
            // Nothing new is taken while it is not clear who may sign; what is here may come back.
            None if hindrance.is_some() => {
                return Err(Trouble::Passing(hindrance.unwrap_or_default()));
            }
            None => {
                let signed = world.release(&wanted.name, &wanted.version, attempt)?;
                let (release, digest, time) = Release::verify_timed(&signed, believed.trust())
                    .map_err(|why| unfit(why.to_string()))?;
                let time = time.min(believed.time.max(BUILT) + LATER);
                if time > pointer.time {
                    Pointer::update(files, &mut |pointer| pointer.time = pointer.time.max(time))?;
                }
                (release, digest, signed)
            }
        };
        if (&release.name, &release.version) != (&wanted.name, &wanted.version) {
            return Err(unfit(format!(
                "the source has {}@{} there",
                release.name, release.version
            )));
        }
        if wanted.digest.as_ref().is_some_and(|wanted| *wanted != digest) {
            return Err(unfit(format!("the source has another one there, {digest}")));
        }
        let release = release
            .on(&world.target())
            .map_err(|why| Trouble::Lacking(format!("{name}: {why}")))?;
        let generation = stage::generation(&release, &digest, &desired.vars);
        if pointer.good.as_ref() == Some(&generation) {
            let mended = self.repair((&release, &signed), &generation, desired, files, world)?;
            self.say(Reported::Committed, mended);
            self.clean(pointer, files, world)?;
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
            self.phase = Phase::Denied(digest);
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
        self.fits(&name, &release, files, world)?;
        let learnt = Learnt::default();
        self.phase = Phase::Verified(Box::new(Candidate { release, signed, generation, learnt }));
        self.say(Reported::Idle, None);
        Ok(Next::Now)
    }

    /// Whether this node has what a release needs.
    fn fits(
        &self,
        name: &str,
        release: &Release,
        files: &mut dyn Files,
        world: &mut dyn World,
    ) -> Result<(), Trouble> {
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
        let needed = blobs::missing(files, release) + self.settings.reserve.max(release.free_disk);
        let free = files.free()?;
        match free >= needed {
            true => Ok(()),
            false => Err(Trouble::Lacking(format!(
                "{needed} bytes must be free on the disk, {free} are"
            ))),
        }
    }

    /// Follows the chain of roots as far as the sources have it; without a network it ends where it is. Gives what is
    /// wrong with it, too.
    fn follow(
        &mut self,
        pointer: &Pointer,
        files: &mut dyn Files,
        world: &mut dyn World,
    ) -> Result<(Believed, Option<String>), Trouble> {
        let mut believed = match self.believed.take() {
            Some(believed) => believed,
            None => Believed::load(&self.settings.anchor, files).map_err(Trouble::Lacking)?,
        };
        // What one source has there keeps nobody from what the next one has.
        let mut refused = Vec::new();
        for _ in 0..root::LONGEST {
            let Some(version) = believed.next_version() else { break };
            let mut found = None;
            world.root(version, self.troubles as usize, &mut |source, bytes| {
                match believed.take(bytes) {
                    Ok(()) => found = Some(bytes.to_vec()),
                    Err(why) => refused.push(format!("{source}: root {version}: {why}")),
                }
                found.is_some()
            });
            let Some(bytes) = found else { break };
            trust::keep(files, version, &bytes)?;
        }
        let mut hindrance = None;
        let followed = believed.followed();
        let time = pointer.time.max(believed.time);
        if let (Some(was), Some(is)) = (&pointer.root, &followed)
            && was.first == is.first
            && was.version > is.version
        {
            let version = was.version;
            let why =
                format!("root {version} was followed before, and is neither here nor at a source");
            hindrance = Some(why);
        } else if (&pointer.root, pointer.time) != (&followed, time) {
            Pointer::update(files, &mut |pointer| {
                (pointer.root, pointer.time) = (followed.clone(), pointer.time.max(time));
            })?;
        }
        self.warn(&believed, time, world);
        self.warnings.extend(refused.into_iter().chain(hindrance.clone()));
        self.believed = Some(believed.clone());
        Ok((believed, hindrance))
    }

    /// What should be looked after, and keeps nothing from running.
    fn warn(&mut self, believed: &Believed, past: i64, world: &mut dyn World) {
        let (now, may_be_right) = world.time(past);
        self.warnings.clear();
        if !may_be_right {
            self.warnings.push("this node's clock is behind what has been signed".into());
        } else if past > 0 && now - past > AHEAD {
            self.warnings.push("this node's clock is years ahead of what has been signed".into());
        }
        self.warnings.extend(believed.warning(now));
    }
}

/// A release that was laid out before. What runs was verified when it was new, whoever may sign by now.
fn kept(
    wanted: &Wanted,
    pointer: &Pointer,
    believed: &Believed,
    files: &dyn Files,
) -> Option<(Release, Digest, Vec<u8>)> {
    let runs = pointer.good.as_ref().map(|good| &good.release);
    files.list(GENERATIONS).ok()?.iter().filter(|name| name.ends_with(".release")).find_map(
        |name| {
            let signed = files.read(&format!("{GENERATIONS}/{name}"), LARGEST as u64).ok()?;
            let (release, digest) = Release::verify(&signed, believed.trust())
                .or_else(|refused| {
                    let known = release::unverified(&signed)?;
                    if runs == Some(&known.1) { Ok(known) } else { Err(refused) }
                })
                .ok()?;
            let same = (&release.name, &release.version) == (&wanted.name, &wanted.version)
                && wanted.digest.as_ref().is_none_or(|wanted| *wanted == digest);
            same.then_some((release, digest, signed))
        },
    )
}
