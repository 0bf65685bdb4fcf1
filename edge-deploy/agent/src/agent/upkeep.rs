//! What an agent does when there is nothing new: it puts back what was changed, and removes what is too old.

use std::time::Duration;

use pilotlight_fleet::message::Desired;
use pilotlight_fleet::release::{self, LARGEST, Release};
use pilotlight_fleet::rollout::Reported;

use super::{Agent, Phase};
use crate::blobs::{self, Learnt};
use crate::{Files, Generation, Pointer, Trouble, World, stage};

impl Agent {
    /// Whether it is time to look whether what runs is still what was laid out. It goes the way of a wish that is
    /// already fulfilled, which also finds new roots.
    pub(super) fn looks_again(&mut self, now: Duration) -> bool {
        let committed = self.progress.as_ref().is_some_and(|p| p.reported == Reported::Committed);
        let due = now.saturating_sub(self.checked) >= self.settings.check;
        let looks = due && committed && matches!(self.phase, Phase::Over);
        if looks {
            self.checked = now;
        }
        looks
    }

    /// What runs is what it should be, or is made so again: files may have been changed by hand, or by a disk. Says
    /// what was changed.
    pub(super) fn repair(
        &mut self,
        (release, signed): (&Release, &[u8]),
        generation: &Generation,
        desired: &Desired,
        files: &mut dyn Files,
        world: &mut dyn World,
    ) -> Result<Option<String>, Trouble> {
        if files.length(&stage::signed(&generation.id)).is_err() {
            stage::seal(files, generation, signed)?;
        }
        if stage::stands(files, world, generation, release, &desired.vars)? {
            return Ok(None);
        }
        let mut learnt = Learnt::default();
        while blobs::fetch(files, world, release, &mut learnt)? {}
        let mended = stage::mend(files, world, generation, release, &desired.vars)?;
        self.running = None;
        self.drift += mended.len() as u64;
        Ok(Some(format!("had been changed, and was put back: {}", mended.join(", "))))
    }

    /// Removes what is too old.
    pub(super) fn clean(
        &self,
        pointer: &Pointer,
        files: &mut dyn Files,
        world: &mut dyn World,
    ) -> std::io::Result<()> {
        let now = [pointer.good.as_ref(), pointer.target()].into_iter().flatten();
        let mut kept: Vec<String> = now.map(|generation| generation.id.clone()).collect();
        kept.dedup();
        kept.extend(pointer.history.iter().cloned());
        kept.truncate(self.settings.keep.max(2));
        let target = world.target();
        // They were verified when they were laid out.
        let releases = kept.iter().filter_map(|id| {
            let signed = files.read(&stage::signed(id), LARGEST as u64).ok()?;
            release::unverified(&signed).ok()?.0.on(&target).ok()
        });
        let releases: Vec<Release> = releases.collect();
        stage::clean(files, &kept, &releases)
    }
}
