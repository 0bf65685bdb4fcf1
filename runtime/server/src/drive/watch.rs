//! Who looks on while filters run: how long each takes, and how it fails.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use pilotlight_abi::Phase;
use pilotlight_config::manifest::Target;
use pilotlight_filter::{Exchange, Fault, Observer};

use crate::generation::Local;
use crate::worker::Worker;

/// Measures filters and reports how they fail.
pub(crate) struct Watch {
    worker: Rc<Worker>,
    local: Rc<Local>,
    chain: Cell<Whose>,
    entered: Cell<Duration>,
}

/// Whose chain it is, by an index into the manifest.
#[derive(Clone, Copy)]
enum Whose {
    Route(usize),
    Listener(usize),
}

/// A filter that holds a worker this long is named in the log.
const BLOCKING: Duration = Duration::from_millis(20);

impl Watch {
    pub(super) fn new(worker: Rc<Worker>, local: Rc<Local>) -> Watch {
        Watch { worker, local, chain: Cell::new(Whose::Route(0)), entered: Cell::default() }
    }

    /// The chain of a route begins.
    pub(super) fn begin(&self, route: usize) {
        self.chain.set(Whose::Route(route));
    }

    /// For the chain of a listener.
    pub(crate) fn of_listener(worker: Rc<Worker>, local: Rc<Local>, listener: usize) -> Watch {
        let watch = Watch::new(worker, local);
        watch.chain.set(Whose::Listener(listener));
        watch
    }

    /// The manifest's filter behind the chain's `index`.
    fn filter(&self, index: usize) -> Option<usize> {
        let manifest = &self.local.generation.manifest;
        let route = match self.chain.get() {
            Whose::Listener(at) => return manifest.listeners[at].filters.get(index).copied(),
            Whose::Route(at) => &manifest.routes[at],
        };
        match route.filters.get(index) {
            Some(filter) => Some(*filter),
            None => match route.target {
                Target::Script(filter) => Some(filter),
                _ => None,
            },
        }
    }
}

impl Observer for Watch {
    fn enter(&self, _index: usize, _phase: Phase) {
        self.entered.set(self.worker.clock.elapsed());
    }

    fn leave(&self, index: usize, phase: Phase, exchange: &Exchange, fault: Option<&Fault>) {
        let now = self.worker.clock.elapsed();
        let took = now - self.entered.replace(now);
        let Some(filter) = self.filter(index) else { return };
        let series = &self.local.generation.series;
        self.worker.metrics.filter(series, filter, phase, took);
        let meant = &self.local.generation.manifest.filters[filter];
        if took > BLOCKING {
            let stall = exchange.stall.take();
            self.worker.log.blocking(&meant.name, phase, took, &exchange.id, stall.as_deref());
        }
        if let Some(fault) = fault {
            self.worker.metrics.fault(series, filter, fault.kind);
            self.worker.log.fault(&meant.name, phase, fault, exchange);
        }
    }
}
