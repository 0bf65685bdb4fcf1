//! What an instance's host calls can reach.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use pilotlight_abi::limit::LOG_LINES;
use pilotlight_filter::Services;
use pilotlight_filter::host::{Level, LogLine};
use wasmtime::{Memory, ResourceLimiter, TypedFunc, UpdateDeadline};

use crate::config::TABLE_ELEMENTS;
use crate::fault::OverCpu;
use crate::modules::Desk;
use crate::proxy_wasm::context::Proxy;
use crate::stage::Stage;
use crate::ticker::{Held, TICK, Ticker};

/// Bytes of one log line; longer ones are cut.
const LOG_LINE_MAX: usize = 16 << 10;

/// Characters of it that a fault tells.
const SAID_MAX: usize = 200;

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
    /// What a component holds of the world.
    #[cfg(feature = "components")]
    pub(crate) world: Option<Box<crate::component::world::World>>,
    /// Where scripts' calls come from, on a fiber.
    pub(crate) desk: Option<Rc<Desk>>,
    /// Runs on a fiber: yields each tick.
    pub(crate) on_fiber: bool,
    /// CPU time of the call; on a fiber, the ticks left of it; inline, where it began.
    cpu: Duration,
    ticks: u64,
    began: Option<Duration>,
    /// What ticks while a call runs; inline, its hold on that from the call's first tick on.
    pub(crate) ticker: Option<Arc<Ticker>>,
    pub(crate) held: Option<Held>,
    /// It has asked for what may be another thing the next time: the time, chance, what is shared.
    pub(crate) asked: bool,
    log_lines: u64,
    /// The last line of the call that tells of trouble, and whether as an error. Kept for its capacity.
    said: (Level, String),
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

    /// Whether there are others.
    pub(crate) fn has_more(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
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

/// Between two slices of a call: others have their turn, for as long as they like.
async fn pause(ticker: Option<Arc<Ticker>>) {
    let mut was_here = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut was_here, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    if let Some(ticker) = ticker {
        ticker.touch();
    }
}

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
            #[cfg(feature = "components")]
            world: None,
            desk: None,
            on_fiber,
            cpu: Duration::ZERO,
            ticks: 0,
            began: None,
            ticker: None,
            held: None,
            asked: false,
            log_lines: 0,
            said: (Level::Info, String::new()),
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
        self.said.1.clear();
        self.began = None;
        // The tick under way may be nearly over, so one more.
        self.ticks = (cpu.as_micros() as u64).div_ceil(TICK.as_micros() as u64) + 1;
        1
    }

    /// The epoch has reached the deadline: yield to the worker, go on, or end the call.
    ///
    /// On a fiber each slice counts as a tick. Inline, the thread's CPU time counts from the first
    /// tick on, so that a guest is not blamed when the machine is busy with something else: then it may
    /// wait for longer than the ticker lingers, which must go on for it. So it must for each slice.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let over = match self.on_fiber {
            true => {
                self.ticks = self.ticks.saturating_sub(1);
                self.ticks == 0
            }
            false => {
                if self.held.is_none() {
                    self.held = self.ticker.as_ref().map(|ticker| ticker.hold());
                }
                let now = thread_cpu();
                now.saturating_sub(*self.began.get_or_insert(now)) >= self.cpu
            }
        };
        match over {
            true => Err(OverCpu(self.cpu).into()),
            false if self.on_fiber => {
                Ok(UpdateDeadline::YieldCustom(1, Box::pin(pause(self.ticker.clone()))))
            }
            false => Ok(UpdateDeadline::Continue(1)),
        }
    }

    /// Writes a line on the guest's behalf: cut when long, dropped past the call's share.
    pub(crate) fn log(&mut self, level: Level, message: &[u8]) {
        if level <= Level::Warn {
            self.hear(level, message);
        }
        if !self.services.logs(level) {
            return;
        }
        self.log_lines += 1;
        let (level, message) = match self.log_lines.saturating_sub(LOG_LINES) {
            0 => (level, message),
            1 => (Level::Warn, &b"too many log lines in one call: further ones are dropped"[..]),
            _ => return,
        };
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

    /// Keeps a line for the fault that may follow, in one line. A warning does not push an error aside.
    #[cold]
    fn hear(&mut self, level: Level, message: &[u8]) {
        let (kept, text) = &mut self.said;
        if !text.is_empty() && level > *kept {
            return;
        }
        *kept = level;
        text.clear();
        let message = &message[..message.len().min(LOG_LINE_MAX)];
        for word in String::from_utf8_lossy(message).split_ascii_whitespace() {
            let space = usize::from(!text.is_empty());
            let room = SAID_MAX.saturating_sub(text.chars().count() + space);
            text.extend([" "].into_iter().take(space));
            text.extend(word.chars().take(room));
            if room <= word.len() {
                break;
            }
        }
    }

    /// `reason`, and behind it what the call has said of its trouble, at this level or worse.
    pub(crate) fn explain(&self, reason: String, level: Level) -> String {
        match &self.said {
            (kept, text) if !text.is_empty() && *kept <= level => format!("{reason}: {text}"),
            _ => reason,
        }
    }
}

/// CPU time that this thread has used. Not a clock that tells the time: only the watchdog's measure.
fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the time of the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Linear memory of all instances of the process.
#[derive(Default)]
pub(crate) struct Budget {
    used: AtomicU64,
    most: AtomicU64,
}

impl Budget {
    /// Says how much it may be at least, since what is being loaded may need it; gives what it was.
    pub(crate) fn raise(&self, most: u64) -> u64 {
        self.most.fetch_max(most, Ordering::Relaxed)
    }

    /// Says how much it may be. What is in use stays.
    pub(crate) fn set(&self, most: u64) {
        self.most.store(most, Ordering::Relaxed);
    }

    fn take(&self, bytes: u64) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let more = |used: u64| used.checked_add(bytes).filter(|used| *used <= most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Whether what nobody uses may be kept: half of it is free.
    pub(crate) fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) <= self.most.load(Ordering::Relaxed) / 2
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What the instances of one filter or module hold on one worker.
#[derive(Default)]
pub(crate) struct Gauge {
    /// What they take it from.
    pub(crate) budget: Arc<Budget>,
    /// Bytes of linear memory.
    pub(crate) bytes: AtomicU64,
    /// Instances alive.
    pub(crate) instances: AtomicU64,
}

impl Gauge {
    pub(crate) fn new(budget: &Arc<Budget>) -> Arc<Gauge> {
        Arc::new(Gauge { budget: Arc::clone(budget), ..Gauge::default() })
    }
}

/// How many parts an instance may consist of.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    instances: usize,
    memories: usize,
    tables: usize,
}

impl Parts {
    /// A core module.
    pub(crate) const MODULE: Parts = Parts { instances: 1, memories: 1, tables: TABLES };
    /// A component: a handful of core modules, most of them glue.
    #[cfg(feature = "components")]
    pub(crate) const COMPONENT: Parts = Parts { instances: 32, memories: 8, tables: 32 };
}

/// Tables of a core module, at most.
const TABLES: usize = 4;

/// Which bound a growth of memory has met.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The instance's own.
    Own,
    /// That of all instances.
    All,
}

/// Bounds of an instance's memory and tables.
pub(crate) struct Limits {
    parts: Parts,
    /// Bytes of its memory, at most.
    pub(crate) memory_max: usize,
    /// Growth was refused: the trap that follows is about memory.
    pub(crate) refused: Option<Refused>,
    /// Bytes of this instance, counted in `gauge`.
    held: u64,
    /// Bytes that are kept of it beside its memory, of all instances' budget.
    aside: u64,
    gauge: Arc<Gauge>,
}

impl Limits {
    pub(crate) fn new(memory_max: u64, parts: Parts, gauge: Arc<Gauge>) -> Limits {
        let memory_max = usize::try_from(memory_max).unwrap_or(usize::MAX);
        gauge.instances.fetch_add(1, Ordering::Relaxed);
        Limits { parts, memory_max, refused: None, held: 0, aside: 0, gauge }
    }

    /// Counts what is kept of the instance beside its memory; false when there is no room.
    pub(crate) fn set_aside(&mut self, bytes: u64) -> bool {
        let fits = self.gauge.budget.take(bytes);
        self.aside += if fits { bytes } else { 0 };
        fits
    }

    /// Bytes of the instance.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let fits = self.held + more <= self.memory_max as u64;
        let fits = fits && maximum.is_none_or(|max| desired <= max);
        self.refused = match fits {
            true if self.gauge.budget.take(more) => {
                self.held += more;
                self.gauge.bytes.fetch_add(more, Ordering::Relaxed);
                return Ok(true);
            }
            true => Some(Refused::All),
            false => Some(Refused::Own),
        };
        Ok(false)
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
        self.parts.instances
    }

    fn tables(&self) -> usize {
        self.parts.tables
    }

    fn memories(&self) -> usize {
        self.parts.memories
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.gauge.bytes.fetch_sub(self.held, Ordering::Relaxed);
        self.gauge.budget.give(self.held + self.aside);
        self.gauge.instances.fetch_sub(1, Ordering::Relaxed);
    }
}
