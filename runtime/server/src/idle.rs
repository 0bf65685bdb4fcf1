//! A worker that has nothing to do gives its memory back.
//!
//! ```text
//! awake ── a second without work ─▶ trimmed ── a connection, an exchange ─▶ awake
//! ```
//! Work pays a look at a flag for it. Open connections stay, and so do VMs and instances.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::pages;
use crate::worker::Worker;

/// How often a worker that is awake looks whether it still has work, and tells its figures.
const LOOK: Duration = Duration::from_secs(1);

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
        let mut seen = worker.work();
        loop {
            tokio::time::sleep(LOOK).await;
            worker.tell_gauges();
            let before = std::mem::replace(&mut seen, worker.work());
            if seen == before && worker.open.get() == 0 {
                break;
            }
        }
        trim(&worker);
        worker.idle.woken.notified().await;
    }
}

/// Lets go of what the worker keeps for reuse. The last worker to do so lets go of the code too.
fn trim(worker: &Rc<Worker>) {
    worker.buffers.clear();
    worker.spares.clear();
    worker.local().realms.iter().for_each(|realm| realm.rest());
    worker.tell_gauges();
    (worker.memory.collect)();
    worker.idle.awake.set(false);
    if worker.memory.awake.fetch_sub(1, Ordering::AcqRel) == 1 {
        pages::drop_code();
    }
}
