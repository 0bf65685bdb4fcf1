//! The loaded programs of a generation, and a worker's side of them.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pilotlight_abi::Phases;
use pilotlight_filter::host::Module;
use pilotlight_filter::{Filter, Library, Realm, Services};

use crate::modules::{self, Callee};
use crate::proxy_wasm::filter;
use crate::proxy_wasm::pool::{Pool, Program};
use crate::ticker::Ticker;

/// What a manifest's Wasm came to.
pub(crate) struct Programs {
    pub(crate) filters: Vec<Arc<Program>>,
    pub(crate) modules: Vec<Arc<Callee>>,
    /// There is one when there is a program.
    pub(crate) ticker: Option<Arc<Ticker>>,
}

struct Worker {
    filters: Vec<Rc<Pool>>,
    modules: HashMap<Arc<str>, Rc<modules::Pool>>,
}

impl Library for Programs {
    fn phases(&self, index: usize) -> Phases {
        self.filters.get(index).map_or(Phases::NONE, |program| program.phases)
    }

    fn open(&self, services: Rc<dyn Services>) -> Rc<dyn Realm> {
        let Some(ticker) = &self.ticker else {
            return Rc::new(Worker { filters: Vec::new(), modules: HashMap::new() });
        };
        let pool = |program: &Arc<Program>| {
            Pool::new(Arc::clone(program), Arc::clone(ticker), Rc::clone(&services))
        };
        let callee = |callee: &Arc<Callee>| {
            let services = Rc::clone(&services);
            let pool = modules::Pool::new(Arc::clone(callee), Arc::clone(ticker), services);
            (Arc::clone(&callee.name), Rc::new(pool))
        };
        Rc::new(Worker {
            filters: self.filters.iter().map(pool).collect(),
            modules: self.modules.iter().map(callee).collect(),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.filters.iter().for_each(|pool| pool.close());
    }
}

impl Realm for Worker {
    fn start(&self, index: usize) -> Box<dyn Filter> {
        filter::start(&self.filters[index])
    }

    fn module(&self, name: &str) -> Option<Rc<dyn Module>> {
        let pool = self.modules.get(name)?;
        Some(Rc::new(modules::Handle(Rc::clone(pool))))
    }

    fn trim(&self) {
        self.filters.iter().for_each(|pool| pool.trim());
        self.modules.values().for_each(|pool| pool.trim());
    }

    fn gauges(&self, report: &mut dyn FnMut(&'static str, &str, u64)) {
        for pool in &self.filters {
            report("wasm_memory", &pool.program.name, pool.gauge.bytes.load(Ordering::Relaxed));
        }
        for (name, pool) in &self.modules {
            report("wasm_memory", name, pool.gauge.bytes.load(Ordering::Relaxed));
        }
    }
}
