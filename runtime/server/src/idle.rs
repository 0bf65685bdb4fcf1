//! A worker that has nothing to do gives its memory back, in steps; when none has, the process may
//! go to sleep.
//!
//! ```text
//! awake ── a look without work ─▶ buffers shed ── more of them ─▶ resting ── `trim` ─▶ trimmed
//!   ▲                                                                │                   │
//!   └───────────────────────────── work ◀────────────────────────────┴───────────────────┘
//! ```
//! Work pays a look at a flag for it. Open connections stay; VMs and instances stay until `trim`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pilotlight_filter::host::Level;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::pages;
use crate::worker::Worker;

/// How often a worker that is awake looks whether it still has work, and tells its figures. Longer
/// than connections keep their buffers warm, so that what they gave back goes with the first look.
const LOOK: Duration = Duration::from_millis(400);
/// So many looks in a row without work: it has fallen idle.
const LOOKS: u32 = 3;

/// Whether a worker is awake.
#[derive(Default)]
pub(crate) struct Idle {
    awake: Cell<bool>,
    woken: Notify,
}

impl Idle {
    /// There is work.
    #[inline]
    pub(crate) fn wake(&self) {
        if !self.awake.replace(true) {
            self.woken.notify_one();
        }
    }
}

/// What the process gives back, and when.
pub(crate) struct Memory {
    rest: watch::Sender<Rest>,
    clock: Clock,
    /// Makes the allocator give back what the calling thread has freed.
    collect: fn(),
}

/// How the workers are.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    /// Those that are awake.
    awake: usize,
    /// Since when there was no work at all, while none is; on the process's clock.
    since: Duration,
}

impl Memory {
    /// Nobody is awake yet.
    pub(crate) fn new(clock: Clock, collect: fn()) -> Memory {
        Memory { rest: watch::Sender::default(), clock, collect }
    }

    /// Resolves once a worker is awake.
    pub(crate) async fn awake(&self) {
        let mut rests = self.rest.subscribe();
        drop(rests.wait_for(|rest| rest.awake > 0).await);
    }

    /// Resolves once all workers have fallen idle.
    pub(crate) async fn idle(&self) {
        let mut rests = self.rest.subscribe();
        drop(rests.wait_for(|rest| rest.awake == 0 && !rest.since.is_zero()).await);
    }

    /// Gives back what the calling thread has freed.
    pub(crate) fn give_back(&self) {
        (self.collect)();
    }

    fn rise(&self) {
        self.rest.send_modify(|rest| rest.awake += 1);
    }

    /// Another worker has nothing to do, for `quiet` already; true: it is the last.
    fn lie(&self, quiet: Duration) -> bool {
        self.rest.send_modify(|rest| {
            rest.awake -= 1;
            rest.since = self.clock.elapsed().saturating_sub(quiet);
        });
        self.rest.borrow().awake == 0
    }

    /// Resolves once there was no work for so long, and none since `not_before`.
    pub(crate) async fn tired(&self, after: Duration, not_before: Duration) {
        let mut rests = self.rest.subscribe();
        loop {
            let rest = *rests.borrow_and_update();
            let until = rest.since.max(not_before) + after;
            let left = until.saturating_sub(self.clock.elapsed());
            tokio::select! {
                () = tokio::time::sleep(left), if rest.awake == 0 => return,
                changed = rests.changed() => if changed.is_err() { return std::future::pending().await },
            }
        }
    }
}

/// Trims the worker whenever it falls idle; runs as long as it does.
pub(crate) async fn watch(worker: Rc<Worker>) {
    loop {
        worker.idle.awake.set(true);
        worker.memory.rise();
        let meant = worker.local().generation.manifest.gateway.idle.clone();
        // Who wants to sleep soon has to look more often.
        let soonest = [meant.trim, meant.sleep].into_iter().flatten().min();
        let look = soonest.map_or(LOOK, |soonest| LOOK.min(soonest / LOOKS));
        let (mut seen, mut quiet) = (worker.work(), 0);
        while quiet < LOOKS {
            tokio::time::sleep(look).await;
            worker.tell_gauges();
            let before = std::mem::replace(&mut seen, worker.work());
            quiet = if seen == before && worker.metrics.open() == 0 { quiet + 1 } else { 0 };
            if quiet == 1 {
                shed(&worker);
            }
        }
        rest(&worker, look * LOOKS);
        if let Some(trim_after) = meant.trim {
            let left = trim_after.saturating_sub(look * LOOKS);
            if tokio::time::timeout(left, worker.idle.woken.notified()).await.is_ok() {
                continue;
            }
            trim(&worker, trim_after);
        }
        worker.idle.woken.notified().await;
    }
}

/// Lets go of buffers: cheap to have again.
fn shed(worker: &Worker) {
    worker.buffers.clear();
    worker.spares.clear();
    worker.timers.shrink();
    (worker.memory.collect)();
}

/// Lets go of all that the worker keeps for reuse. The last worker to do so lets go of the code too.
fn rest(worker: &Rc<Worker>, quiet: Duration) {
    worker.local().realms.iter().for_each(|realm| realm.rest());
    worker.tell_gauges();
    shed(worker);
    worker.idle.awake.set(false);
    if worker.memory.lie(quiet) {
        pages::drop_code();
    }
}

/// Lets go of what can be made again, for the next request that needs it: VMs, instances, connections
/// to upstreams.
fn trim(worker: &Rc<Worker>, after: Duration) {
    let local = worker.local();
    local.realms.iter().for_each(|realm| realm.trim());
    local.upstreams.iter().for_each(|upstream| upstream.trim());
    local.hosts.trim();
    drop(local);
    worker.tell_gauges();
    worker.control.metrics.trims.fetch_add(1, Ordering::Relaxed);
    let (index, quiet) = (worker.place().0.to_string(), after.as_secs_f64().to_string());
    let fields = [("worker", &*index), ("reason", "idle"), ("quiet_seconds", &*quiet)];
    worker.log.event(Level::Info, "trimmed", &fields);
    shed(worker);
    // Last: whatever runs maps its code again.
    pages::drop_code();
}
