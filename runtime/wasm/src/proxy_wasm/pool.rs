//! The instances of one filter on one worker.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_abi::limit::{WASM_CRASHES, WASM_INSTANCES};
use pilotlight_filter::engine::RedisSpec;
use pilotlight_filter::host::Level;
use pilotlight_filter::{Fault, FaultKind, Services};

use super::hub::{Hub, Space};
use super::instance::{Instanced, Ready};
use super::redis;
use super::root::{self, Root};
use crate::check::Outcome;
use crate::host::{Gauge, Host, Limits, Parts, Slot};
use crate::stage::Stage;
use crate::ticker::Ticker;
use crate::vm;
use crate::workshop::{Later, Runs};

/// Instances that wait for exchanges which have one each, at most: as many as were in use at once, mostly.
const IDLE: usize = 64;
/// So many that could not be put back, one after the other: the next are not remembered.
const LOST: u32 = 8;
/// Seconds in which crashes are counted.
const WINDOW: f64 = 10.0;
/// Seconds without an instance after too many of them: at first, and at most.
const BACK_OFF: (f64, f64) = (0.1, 10.0);

/// A filter, ready to be instantiated.
pub(crate) struct Program {
    pub(crate) name: Arc<str>,
    /// Mapped when first asked for.
    pub(crate) runs: Later<Runs<Ready>>,
    pub(crate) outcome: Outcome,
    pub(crate) config: Bytes,
    /// The same of its VM.
    pub(crate) vm_config: Bytes,
    /// Of one call of a phase.
    pub(crate) cpu: Duration,
    pub(crate) memory: u64,
    /// An instance for each exchange, as it was when its plugin had started.
    pub(crate) fresh: bool,
    /// Its calls may take long.
    pub(crate) on_fiber: bool,
    /// Body callbacks are called while the head is held.
    pub(crate) hold_headers: bool,
    /// Properties are text, as in ngx_wasm_module.
    pub(crate) text: bool,
    /// `plugin_root_id`.
    pub(crate) root_id: Box<str>,
    /// What it shares with other instances.
    pub(crate) space: Arc<Space>,
    pub(crate) hub: Arc<Hub>,
    /// Upstreams that it may call.
    pub(crate) upstreams: Arc<[Arc<str>]>,
    /// Redis servers that it may speak to.
    pub(crate) redis: Arc<[RedisSpec]>,
}

/// Where exchanges get the instance.
pub(crate) struct Pool {
    pub(crate) program: Arc<Program>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) services: Rc<dyn Services>,
    shared: RefCell<Option<Rc<Shared>>>,
    /// Where each exchange has its own: those that were put back, for exchanges to come.
    #[allow(clippy::vec_box, reason = "they go as they came")]
    idle: RefCell<Vec<Box<Instanced>>>,
    /// Connections to Redis without a command.
    redis: Rc<redis::Idle>,
    /// How many could not be, since one was.
    lost: Cell<u32>,
    crashes: Cell<Crashes>,
    /// The worker's side is gone: nothing is kept for exchanges to come.
    closed: Cell<bool>,
}

/// How often instances have trapped of late.
#[derive(Clone, Copy, Default)]
struct Crashes {
    count: u32,
    /// When the window began.
    since: f64,
    /// How long the last back-off was, and when it ends.
    pause: f64,
    until: f64,
}

/// An instance that several exchanges use in turn.
pub(crate) struct Shared {
    /// It is away while it runs.
    instance: Cell<Option<Box<Instanced>>>,
    waiting: RefCell<Vec<Waker>>,
    /// It has trapped, or could not be started.
    dead: Cell<bool>,
    /// Why it could not.
    failed: RefCell<Option<Fault>>,
    pub(crate) root: Rc<Root>,
    /// Somebody looks after the plugin's context.
    attended: Cell<bool>,
    this: Weak<Shared>,
    pool: Weak<Pool>,
}

impl Shared {
    /// Takes the instance, to put it back or to bury it. While another uses it, or while it starts,
    /// the caller is woken.
    #[inline]
    pub(crate) fn take(&self, cx: &Context<'_>) -> Option<Box<Instanced>> {
        let instance = self.instance.take();
        if instance.is_none() {
            self.waiting.borrow_mut().push(cx.waker().clone());
        }
        instance
    }

    /// The same, when nothing else can have it.
    pub(crate) fn take_now(&self) -> Option<Box<Instanced>> {
        self.instance.take()
    }

    /// Waits for it; `None` when it is dead.
    pub(crate) async fn wait(&self) -> Option<Box<Instanced>> {
        poll_fn(|cx| match self.dead.get() {
            true => Poll::Ready(None),
            false => self.take(cx).map_or(Poll::Pending, |instance| Poll::Ready(Some(instance))),
        })
        .await
    }

    /// Gives it back.
    #[inline]
    pub(crate) fn put(&self, instance: Box<Instanced>) {
        self.instance.set(Some(instance));
        if !self.waiting.borrow().is_empty() {
            self.wake();
        }
        if self.root.wanted.get() && !self.attended.get() {
            self.attend();
        }
    }

    #[inline]
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Why it could not be started.
    pub(crate) fn failed(&self) -> Option<Fault> {
        self.failed.borrow().clone()
    }

    fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    #[cold]
    fn attend(&self) {
        self.attended.set(true);
        if let Some(pool) = self.pool.upgrade() {
            let care = root::look_after(pool.clone(), self.this.clone(), self.root.clone());
            pool.services.spawn(Box::pin(care));
        }
    }

    fn die(&self) {
        self.dead.set(true);
        self.root.end();
        self.wake();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.root.end();
        let Some(pool) = self.pool.upgrade() else { return };
        if let Some(mut instance) = self.instance.take()
            && !self.dead.get()
        {
            if pool.program.fresh {
                return pool.keep(instance);
            }
            // The plugin may have something to say, if that is short: there is nobody to wait for it.
            vm::grant(&mut instance.store, pool.program.cpu);
            let _ = vm::at_once(instance.end());
        }
    }
}

impl Pool {
    pub(crate) fn new(
        program: Arc<Program>,
        ticker: Arc<Ticker>,
        services: Rc<dyn Services>,
        gauge: Arc<Gauge>,
    ) -> Rc<Pool> {
        let pool = Rc::new(Pool {
            program,
            ticker,
            gauge,
            services,
            shared: RefCell::default(),
            idle: RefCell::default(),
            redis: Rc::default(),
            lost: Cell::new(0),
            crashes: Cell::default(),
            closed: Cell::new(false),
        });
        if pool.program.outcome.eager {
            pool.begin_later(Duration::ZERO);
        }
        pool
    }

    /// The instance: the worker's, or one more.
    pub(crate) fn shared(self: &Rc<Pool>) -> Result<Rc<Shared>, Fault> {
        if !self.program.fresh
            && let Some(shared) = &*self.shared.borrow()
        {
            return Ok(Rc::clone(shared));
        }
        // A statement of its own: what is borrowed is given back at once.
        let idle = self.idle.borrow_mut().pop();
        if let Some(instance) = idle {
            let shared = self.share(instance.store.data().proxy.root.clone());
            shared.put(instance);
            return Ok(shared);
        }
        let until = self.crashes.get().until;
        if until > 0.0 && self.services.monotonic() < until {
            let text = format!("{}: it has trapped too often, and rests", self.program.name);
            return Err(Fault::new(FaultKind::Trap, text));
        }
        let mut host = self.host()?;
        let shared = self.share(host.proxy.root.clone());
        let program = Arc::clone(&self.program);
        if program.on_fiber {
            let (shared, pool, program) = (shared.clone(), self.clone(), program.clone());
            self.services.spawn(Box::pin(async move {
                let started = async { Instanced::start(&program.runs.get()?.ready, host).await };
                match started.await {
                    Ok(instance) => pool.started(&shared, instance),
                    Err(fault) => {
                        shared.failed.replace(Some(fault));
                        pool.bury(&shared);
                    }
                }
            }));
        } else {
            let runs = program.runs.get()?;
            let mut ready = &runs.ready;
            if let Some((pooled, slots)) = &runs.pooled
                && let Some(slot) = Slot::take(slots)
            {
                (ready, host.slot) = (pooled, Some(slot));
            }
            let _held = self.ticker.hold();
            match vm::at_once(Instanced::start(ready, host)) {
                Ok(instance) => self.started(&shared, instance),
                Err(fault) => {
                    self.bury(&shared);
                    return Err(fault);
                }
            }
        }
        if !program.fresh && !self.closed.get() {
            *self.shared.borrow_mut() = Some(Rc::clone(&shared));
        }
        Ok(shared)
    }

    fn share(self: &Rc<Pool>, root: Rc<Root>) -> Rc<Shared> {
        Rc::new_cyclic(|this| Shared {
            instance: Cell::new(None),
            waiting: RefCell::default(),
            dead: Cell::new(false),
            failed: RefCell::default(),
            root,
            attended: Cell::new(false),
            this: this.clone(),
            pool: Rc::downgrade(self),
        })
    }

    fn started(&self, shared: &Shared, mut instance: Instanced) {
        if self.program.fresh && !self.closed.get() && self.lost.get() < LOST {
            instance.remember();
        }
        shared.put(Box::new(instance));
    }

    /// The exchange that had an instance of its own is over: another may have it, as it was when it had started.
    fn keep(&self, mut instance: Box<Instanced>) {
        let host = instance.store.data();
        // Slots are there for all filters and workers.
        let room = self.gauge.budget.has_room() && host.slot.as_ref().is_none_or(Slot::has_more);
        let room = room && self.idle.borrow().len() < IDLE && !self.closed.get();
        if instance.origin.is_none() || !room || host.proxy.root.has_work() {
            return;
        }
        if !instance.put_back() {
            return self.lost.set(self.lost.get() + 1);
        }
        self.lost.set(0);
        self.idle.borrow_mut().push(instance);
    }

    /// The instance has trapped: nobody gets it again.
    pub(crate) fn bury(self: &Rc<Pool>, dead: &Rc<Shared>) {
        let is_plugins = self.drop_shared(dead);
        // A crash of an instance of one exchange is that exchange's affair.
        if self.program.fresh && !is_plugins {
            return;
        }
        let now = self.services.monotonic();
        let mut crashes = self.crashes.get();
        if now - crashes.since > WINDOW {
            crashes = Crashes { since: now, pause: crashes.pause, ..Crashes::default() };
        }
        crashes.count += 1;
        if crashes.count > WASM_CRASHES {
            let again = now - crashes.until < 2.0 * WINDOW;
            let longer = if again { (crashes.pause * 2.0).max(BACK_OFF.0) } else { BACK_OFF.0 };
            crashes.pause = longer.min(BACK_OFF.1);
            (crashes.until, crashes.count, crashes.since) = (now + crashes.pause, 0, now);
            self.say(crashes.pause);
        }
        self.crashes.set(crashes);
        if self.program.outcome.eager && !self.closed.get() {
            let rest = (crashes.until - now).max(BACK_OFF.0);
            self.begin_later(Duration::from_secs_f64(rest));
        }
    }

    /// Nobody gets the instance again. True when it was the one that is kept.
    pub(crate) fn drop_shared(&self, dead: &Rc<Shared>) -> bool {
        dead.die();
        let is_kept = |shared: &mut Rc<Shared>| Rc::ptr_eq(shared, dead);
        self.shared.borrow_mut().take_if(is_kept).is_some()
    }

    /// Starts the instance without an exchange that asks for it.
    fn begin_later(self: &Rc<Pool>, after: Duration) {
        let (pool, rest) = (Rc::downgrade(self), self.services.sleep(after));
        self.services.spawn(Box::pin(async move {
            if !after.is_zero() {
                rest.await;
            }
            if let Some(pool) = pool.upgrade().filter(|pool| !pool.closed.get()) {
                // Why it fails is in the log of the exchanges that want it, and it is tried again
                // with them. Where each exchange has its own, this is the plugin's.
                if let Ok(shared) = pool.shared()
                    && !shared.is_dead()
                {
                    *pool.shared.borrow_mut() = Some(shared);
                }
            }
        }));
    }

    fn say(&self, pause: f64) {
        let message = format!("it has trapped too often, and rests for {pause} s");
        self.services.log(&pilotlight_filter::host::LogLine {
            level: Level::Error,
            filter: &self.program.name,
            id: "",
            message: &message,
            fields: &[],
        });
    }

    /// The data of an instance to be.
    fn host(&self) -> Result<Host, Fault> {
        let program = &self.program;
        if self.gauge.instances.load(Ordering::Relaxed) >= WASM_INSTANCES {
            let text = format!("{}: {WASM_INSTANCES} instances are in use", program.name);
            return Err(Fault::new(FaultKind::Busy, text));
        }
        let limits = Limits::new(program.memory, Parts::MODULE, Arc::clone(&self.gauge));
        let (services, stage) = (Rc::clone(&self.services), Stage::default());
        let mut host =
            Host::new(Arc::clone(&program.name), services, stage, limits, program.on_fiber);
        host.proxy.program = Some(program.clone());
        host.proxy.idle = Rc::clone(&self.redis);
        host.ticker = Some(Arc::clone(&self.ticker));
        Ok(host)
    }

    /// Whether the instance has work beside its streams.
    pub(crate) fn is_busy(&self) -> bool {
        self.shared.borrow().as_ref().is_some_and(|shared| shared.root.has_work())
    }

    /// The worker is idle for a moment: instances that wait for exchanges go.
    pub(crate) fn rest(&self) {
        let idle = self.idle.take();
        drop(idle);
        redis::rest(&self.redis, self.services.monotonic());
    }

    /// Drops what no exchange uses. An instance with something to do of its own stays.
    pub(crate) fn trim(&self) {
        self.rest();
        let sockets = self.redis.take();
        drop(sockets);
        let mut shared = self.shared.borrow_mut();
        if shared
            .as_ref()
            .is_some_and(|shared| Rc::strong_count(shared) == 1 && !shared.root.has_work())
        {
            let idle = shared.take();
            drop(shared);
            drop(idle);
        }
    }

    /// The worker's side goes: the instance ends with the exchanges that use it.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let last = (self.shared.take(), self.idle.take());
        drop(last);
    }
}
