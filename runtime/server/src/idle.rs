//! A worker that has nothing to do gives its memory back.
//!
//! ```text
//! awake ── a look without work ─▶ buffers shed ── more of them ─▶ trimmed ── work ─▶ awake
//! ```
//! Work pays a look at a flag for it. Open connections stay, and so do VMs and instances.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::pages;
use crate::worker::Worker;

/// How often a worker that is awake looks whether it still has work, and tells its figures. Longer
/// than connections keep their buffers warm, so that what they gave back goes with the first look.
const LOOK: Duration = Duration::from_millis(400);
/// So many looks in a row without work: it has fallen idle.
const ASLEEP: u32 = 3;

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
    /// Workers that are awake.
    awake: AtomicUsize,
    /// Makes the allocator give back what the calling thread has freed.
    collect: fn(),
}

impl Memory {
    /// Nobody is awake yet.
    pub(crate) fn new(collect: fn()) -> Memory {
        Memory { awake: AtomicUsize::new(0), collect }
    }
}

/// Trims the worker whenever it falls idle; runs as long as it does.
pub(crate) async fn watch(worker: Rc<Worker>) {
    loop {
        worker.idle.awake.set(true);
        worker.memory.awake.fetch_add(1, Ordering::Relaxed);
        let (mut seen, mut quiet) = (worker.work(), 0);
        while quiet < ASLEEP {
            tokio::time::sleep(LOOK).await;
            worker.tell_gauges();
            let before = std::mem::replace(&mut seen, worker.work());
            quiet = if seen == before && worker.open.get() == 0 { quiet + 1 } else { 0 };
            if quiet == 1 {
                shed(&worker);
            }
        }
        trim(&worker);
        worker.idle.woken.notified().await;
    }
}

/// Lets go of buffers: cheap to have again.
fn shed(worker: &Worker) {
    worker.buffers.clear();
    worker.spares.clear();
    (worker.memory.collect)();
}

/// Lets go of all that the worker keeps for reuse. The last worker to do so lets go of the code too.
fn trim(worker: &Rc<Worker>) {
    worker.local().realms.iter().for_each(|realm| realm.rest());
    worker.tell_gauges();
    shed(worker);
    worker.idle.awake.set(false);
    if worker.memory.awake.fetch_sub(1, Ordering::AcqRel) == 1 {
        pages::drop_code();
    }
}
