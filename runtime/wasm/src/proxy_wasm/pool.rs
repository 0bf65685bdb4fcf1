//! The instances of one filter on one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use pilotlight_abi::Phases;
use pilotlight_filter::{Fault, FaultKind, Services};
use wasmtime::InstancePre;

use super::context::Instanced;
use crate::host::{Gauge, Host, Limits, Parts, Slot, Slots};
use crate::stage::Stage;
use crate::ticker::Ticker;
use crate::vm;

/// Instances of a filter on a worker, at most.
const INSTANCES_MAX: u64 = 256;
/// Instances kept for exchanges to come, where each takes one.
const IDLE_MAX: usize = 8;

/// A filter, ready to be instantiated.
pub(crate) struct Program {
    pub(crate) name: Arc<str>,
    pub(crate) pre: InstancePre<Host>,
    /// The same in the pool, for instances that serve one exchange; and the pool's free slots.
    pub(crate) pooled: Option<(InstancePre<Host>, Slots)>,
    pub(crate) phases: Phases,
    pub(crate) config: Bytes,
    /// Of one call of a phase.
    pub(crate) cpu: Duration,
    pub(crate) memory: u64,
    /// An instance for each exchange, never used again.
    pub(crate) fresh: bool,
    /// Its calls may take long.
    pub(crate) on_fiber: bool,
}

/// Where exchanges get instances.
///
/// Short calls share one instance. On a fiber an instance is busy while its call waits for its
/// next slice, so there each exchange takes one of its own.
pub(crate) struct Pool {
    pub(crate) program: Arc<Program>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) gauge: Arc<Gauge>,
    services: Rc<dyn Services>,
    shared: RefCell<Option<Rc<Shared>>>,
    #[allow(clippy::vec_box)] // they move in and out of jobs: as pointers
    idle: RefCell<Vec<Box<Instanced>>>,
}

/// An instance that several exchanges use in turn.
pub(crate) struct Shared {
    pub(crate) instance: RefCell<Instanced>,
    /// It has trapped.
    pub(crate) dead: std::cell::Cell<bool>,
}

impl Pool {
    pub(crate) fn new(
        program: Arc<Program>,
        ticker: Arc<Ticker>,
        services: Rc<dyn Services>,
    ) -> Pool {
        let gauge = Arc::default();
        Pool {
            program,
            ticker,
            gauge,
            services,
            shared: RefCell::default(),
            idle: RefCell::default(),
        }
    }

    /// The instance for short calls: the worker's, or one more.
    pub(crate) fn shared(&self) -> Result<Rc<Shared>, Fault> {
        if let Some(shared) = &*self.shared.borrow() {
            return Ok(Rc::clone(shared));
        }
        let mut host = self.host(Stage::default())?;
        let mut pre = &self.program.pre;
        if let Some((pooled, slots)) = &self.program.pooled
            && let Some(slot) = Slot::take(slots)
        {
            (pre, host.slot) = (pooled, Some(slot));
        }
        let _held = self.ticker.hold();
        let instance = vm::at_once(Instanced::start(pre, host))?;
        let shared = Rc::new(Shared { instance: RefCell::new(instance), dead: false.into() });
        if !self.program.fresh {
            *self.shared.borrow_mut() = Some(Rc::clone(&shared));
        }
        Ok(shared)
    }

    /// The instance has trapped: nobody gets it again.
    pub(crate) fn bury(&self, dead: &Rc<Shared>) {
        dead.dead.set(true);
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|shared| Rc::ptr_eq(shared, dead)) {
            *shared = None;
        }
    }

    /// An idle instance to be used alone.
    pub(crate) fn take(&self) -> Option<Box<Instanced>> {
        self.idle.borrow_mut().pop()
    }

    /// Gives back an instance that holds nothing of its last exchange.
    pub(crate) fn give(&self, instance: Box<Instanced>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX && !self.program.fresh {
            idle.push(instance);
        }
    }

    /// The data of an instance to be.
    pub(crate) fn host(&self, stage: Stage) -> Result<Host, Fault> {
        let program = &self.program;
        if self.gauge.instances.load(Ordering::Relaxed) >= INSTANCES_MAX {
            let text = format!("{}: {INSTANCES_MAX} instances are in use", program.name);
            return Err(Fault::new(FaultKind::Memory, text));
        }
        let limits = Limits::new(program.memory, Parts::MODULE, Arc::clone(&self.gauge));
        let services = Rc::clone(&self.services);
        let mut host =
            Host::new(Arc::clone(&program.name), services, stage, limits, program.on_fiber);
        host.proxy.config = program.config.clone();
        Ok(host)
    }

    /// Drops what no exchange uses.
    pub(crate) fn trim(&self) {
        self.idle.borrow_mut().clear();
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|shared| Rc::strong_count(shared) == 1) {
            *shared = None;
        }
    }
}
