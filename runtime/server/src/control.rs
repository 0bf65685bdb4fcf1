//! What all workers of a process share: the newest generation, the log, the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::apps::Apps;
use crate::clock::Clock;
use crate::generation::Generation;
use crate::idle::Memory;
use crate::log::Log;
use crate::metrics::Registry;
use crate::pressure::Pressure;

/// Shared by all threads.
pub(crate) struct Control {
    clock: Clock,
    generation: ArcSwap<Generation>,
    /// The generation's number: workers look at it once an exchange.
    number: AtomicU64,
    pub(crate) log: Arc<Log>,
    pub(crate) metrics: Arc<Registry>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) pressure: Pressure,
    pub(crate) apps: Apps,
    draining: AtomicBool,
    /// How many workers run.
    pub(crate) workers: AtomicUsize,
    last_reload: Mutex<Option<Result<String, String>>>,
}

impl Control {
    pub(crate) fn new(
        generation: Arc<Generation>,
        log: Arc<Log>,
        metrics: Arc<Registry>,
        clock: Clock,
        collect: fn(),
    ) -> Control {
        let number = AtomicU64::new(generation.number);
        Control {
            clock,
            generation: ArcSwap::new(generation),
            number,
            apps: Apps::new(log.clone(), metrics.clone(), clock),
            log,
            metrics,
            memory: Arc::new(Memory::new(clock, collect)),
            pressure: Pressure::default(),
            draining: AtomicBool::new(false),
            workers: AtomicUsize::new(1),
            last_reload: Mutex::default(),
        }
    }

    /// The process's clock, milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.clock.elapsed().as_millis() as u64
    }

    /// The newest generation.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// Its number.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// New exchanges use `generation` from now on.
    pub(crate) fn install(&self, generation: Arc<Generation>) {
        let number = generation.number;
        self.generation.store(generation);
        self.number.store(number, Ordering::Release);
    }

    /// Whether there are as many workers as CPUs.
    pub(crate) fn follows_cpus(&self) -> bool {
        self.generation.load().manifest.gateway.workers.is_none()
    }

    /// The gateway ends: probes say that it is not ready any more.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How the last reload went, for `status`.
    pub(crate) fn last_reload(&self) -> Option<Result<String, String>> {
        self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_last_reload(&self, outcome: Result<String, String>) {
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}
