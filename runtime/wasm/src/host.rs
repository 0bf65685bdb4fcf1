//! What an instance's host calls can reach.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pilotlight_abi::limit::LOG_LINES;
use pilotlight_filter::Services;
use pilotlight_filter::host::{Level, LogLine};
use wasmtime::{Memory, ResourceLimiter, TypedFunc, UpdateDeadline};

use crate::config::{TABLE_ELEMENTS, TABLES};
use crate::fault::OverCpu;
use crate::proxy_wasm::context::Proxy;
use crate::stage::Stage;
use crate::ticker::TICK;

/// Bytes of one log line; longer ones are cut.
const LOG_LINE_MAX: usize = 16 << 10;

/// The data of an instance's store.
pub(crate) struct Host {
    name: Arc<str>,
    pub(crate) services: Rc<dyn Services>,
    pub(crate) stage: Stage,
    pub(crate) limits: Limits,
    /// The instance's memory; `None` until it is instantiated.
    pub(crate) memory: Option<Memory>,
    /// Its allocator (`proxy_on_memory_allocate`, `malloc`, `alloc`).
    pub(crate) alloc: Option<TypedFunc<u32, u32>>,
    /// Bytes on their way to the guest; kept for its capacity.
    pub(crate) scratch: Vec<u8>,
    pub(crate) proxy: Proxy,
    /// Runs on a fiber: yields each tick.
    pub(crate) on_fiber: bool,
    /// CPU time of the call, and ticks left of it.
    cpu: Duration,
    ticks: u64,
    log_lines: u64,
    /// Its place in the pool, if it has one. The last field: given up after all else.
    pub(crate) slot: Option<Slot>,
}

/// Free slots of the pool, counted for all workers.
pub(crate) type Slots = Arc<AtomicU64>;

/// One of them, taken.
pub(crate) struct Slot(Slots);

impl Slot {
    /// Takes a slot, if one is free.
    pub(crate) fn take(slots: &Slots) -> Option<Slot> {
        let less = |free: u64| free.checked_sub(1);
        slots.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(Slot(Arc::clone(slots)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: a store and the fibers in it are made, polled and dropped by one worker's realm, which
// is `!Send` (it is handed out as an `Rc`); wasmtime asks for `Send` because it can't know that.
unsafe impl Send for Host {}

impl Host {
    pub(crate) fn new(
        name: Arc<str>,
        services: Rc<dyn Services>,
        stage: Stage,
        limits: Limits,
        on_fiber: bool,
    ) -> Host {
        Host {
            name,
            services,
            stage,
            limits,
            memory: None,
            alloc: None,
            scratch: Vec::new(),
            proxy: Proxy::default(),
            on_fiber,
            cpu: Duration::ZERO,
            ticks: 0,
            log_lines: 0,
            slot: None,
        }
    }

    /// The filter or module, by its name in the manifest.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Grants CPU time for a call; gives the ticks until the epoch must be looked at.
    pub(crate) fn grant(&mut self, cpu: Duration) -> u64 {
        self.cpu = cpu;
        self.log_lines = 0;
        // The tick under way may be nearly over, so one more.
        let ticks = (cpu.as_micros() as u64).div_ceil(TICK.as_micros() as u64) + 1;
        self.ticks = if self.on_fiber { ticks } else { 0 };
        if self.on_fiber { 1 } else { ticks }
    }

    /// The epoch has reached the deadline: yield to the worker, or end the call.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        if self.ticks == 0 {
            return Err(OverCpu(self.cpu).into());
        }
        self.ticks -= 1;
        Ok(UpdateDeadline::Yield(1))
    }

    /// Writes a line on the guest's behalf: cut when long, dropped past the call's share.
    pub(crate) fn log(&mut self, level: Level, message: &[u8]) {
        self.log_lines += 1;
        if self.log_lines > LOG_LINES || !self.services.logs(level) {
            return;
        }
        let message = &message[..message.len().min(LOG_LINE_MAX)];
        let message = String::from_utf8_lossy(message);
        let line = |id: &str| {
            self.services.log(&LogLine {
                level,
                filter: &self.name,
                id,
                message: message.trim_end(),
                fields: &[],
            });
        };
        if self.stage.with(|exchange| line(&exchange.id)).is_none() {
            line("");
        }
    }
}

/// What the instances of one filter or module hold on one worker.
#[derive(Default)]
pub(crate) struct Gauge {
    /// Bytes of linear memory.
    pub(crate) bytes: AtomicU64,
    /// Instances alive.
    pub(crate) instances: AtomicU64,
}

/// Bounds of an instance's memory and tables.
pub(crate) struct Limits {
    /// Bytes of its memory, at most.
    pub(crate) memory_max: usize,
    /// Growth was refused: the trap that follows is about memory.
    pub(crate) refused: bool,
    /// Bytes of this instance, counted in `gauge`.
    held: u64,
    gauge: Arc<Gauge>,
}

impl Limits {
    pub(crate) fn new(memory_max: u64, gauge: Arc<Gauge>) -> Limits {
        let memory_max = usize::try_from(memory_max).unwrap_or(usize::MAX);
        gauge.instances.fetch_add(1, Ordering::Relaxed);
        Limits { memory_max, refused: false, held: 0, gauge }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.memory_max && maximum.is_none_or(|max| desired <= max);
        if fits {
            let more = desired.saturating_sub(current) as u64;
            self.held += more;
            self.gauge.bytes.fetch_add(more, Ordering::Relaxed);
        } else {
            self.refused = true;
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        1
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.gauge.bytes.fetch_sub(self.held, Ordering::Relaxed);
        self.gauge.instances.fetch_sub(1, Ordering::Relaxed);
    }
}
