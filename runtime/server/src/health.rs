//! Who looks after endpoints that come and go: one task an upstream, on one worker. What it finds out is in
//! the upstream's roster, for all. It keeps nothing awake, and stops when the process sleeps.

mod names;
mod probe;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use crate::control::Control;
use crate::park::state::{Reader, Writer};
use crate::upstream::{Roster, Shared};
use crate::worker::Worker;

/// The first probes of endpoints are spread over so many milliseconds, or over an interval.
const SPREAD: u64 = 500;

/// The upstreams that are looked after.
#[derive(Default)]
pub(crate) struct Watches(Vec<(Arc<Roster>, AbortHandle)>);

impl Watches {
    /// The newest generation's are, from now on.
    pub(crate) fn adopt(&mut self, worker: &Rc<Worker>) {
        let local = worker.local();
        let all = &local.generation.upstreams;
        let of = |shared: &Arc<Shared>, roster: &Arc<Roster>| {
            shared.roster().is_some_and(|own| Arc::ptr_eq(own, roster))
        };
        self.0.retain(|(roster, task)| {
            let stays = all.iter().any(|shared| of(shared, roster));
            if !stays {
                task.abort();
            }
            stays
        });
        for shared in all {
            if let Some(roster) = shared.roster()
                && !self.0.iter().any(|(known, _)| Arc::ptr_eq(known, roster))
            {
                let watch = watch(worker.clone(), shared.clone(), roster.clone());
                let task = tokio::task::spawn_local(watch).abort_handle();
                self.0.push((roster.clone(), task));
            }
        }
    }
}

/// Looks names up, sends probes and ends ejections, until it is aborted.
async fn watch(worker: Rc<Worker>, shared: Arc<Shared>, roster: Arc<Roster>) {
    // When each member's next probe is; none while one is under way.
    let mut due: BTreeMap<usize, Option<u64>> = BTreeMap::new();
    let mut probes = JoinSet::new();
    // The same for the next look-up of each source, and how many of those have failed in a row.
    let sought = roster.sources.iter().enumerate().filter(|(_, source)| source.is_sought());
    let mut seek: Vec<(usize, Option<u64>, u32)> = sought.map(|(at, _)| (at, Some(0), 0)).collect();
    let mut looks = JoinSet::new();
    loop {
        let mut next = roster.tick(worker.control.now(), &worker.log);
        for (source, at, _) in &mut seek {
            if at.is_some_and(|at| at <= worker.control.now()) {
                *at = None;
                let look = names::look(worker.clone(), roster.sources[*source].clone());
                let source = *source;
                looks.spawn_local(async move { (source, look.await) });
            }
            next = [next, *at].into_iter().flatten().min();
        }
        if let Some(rules) = &roster.health {
            let interval = rules.interval.as_millis() as u64;
            let (_, members) = roster.members();
            due.retain(|number, _| members.iter().any(|(member, _)| member.number == *number));
            for (member, _) in members {
                let now = worker.control.now();
                let first = || Some(now + worker.random() % interval.min(SPREAD));
                let at = due.entry(member.number).or_insert_with(first);
                if at.is_some_and(|at| at <= now) {
                    *at = None;
                    let asking = probe::ask(worker.clone(), shared.clone(), roster.clone(), member);
                    let again = now + interval - interval / 10;
                    let again = again + worker.random() % (interval / 5).max(1);
                    probes.spawn_local(async move { (asking.await, again) });
                }
                next = [next, *at].into_iter().flatten().min();
            }
        }
        let wait =
            next.map(|next| Duration::from_millis(next.saturating_sub(worker.control.now())));
        tokio::select! {
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            Some(Ok(((number, outcome), again))) = probes.join_next() => {
                roster.probed(number, outcome, worker.control.now(), &worker.log);
                if let Some(at) = due.get_mut(&number) {
                    *at = Some(again);
                }
            }
            Some(Ok((source, outcome))) = looks.join_next() => {
                for (_, due, failed) in seek.iter_mut().filter(|(at, ..)| *at == source) {
                    let again = outcome.as_ref().map(|(_, ttl)| *ttl).ok();
                    *failed = if again.is_some() { 0 } else { *failed + 1 };
                    let again = again.unwrap_or_else(|| names::pause(*failed));
                    *due = Some(worker.control.now() + again.as_millis() as u64);
                }
                roster.found(source, outcome.map(|(answer, _)| answer), &worker.log);
            }
            () = roster.bell.notified() => {}
        }
    }
}

/// Writes down what is known of endpoints.
pub(crate) fn keep(control: &Control, to: &mut Writer) {
    let now = control.now();
    let generation = control.generation();
    let rosters = generation.upstreams.iter().filter_map(|shared| shared.roster());
    rosters.for_each(|roster| roster.keep(now, to));
}

/// Takes that back, so long after.
pub(crate) fn take_back(control: &Control, age: Duration, from: &mut Reader<'_>) -> Option<()> {
    let (generation, age) = (control.generation(), age.as_millis() as u64);
    while !from.0.is_empty() {
        let name = from.text()?;
        let mut known = generation.upstreams.iter().filter(|shared| *shared.meant.name == *name);
        let roster = known.find_map(|shared| shared.roster());
        Roster::take_back(roster.map(|roster| &**roster), age, control.now(), from)?;
    }
    Some(())
}
