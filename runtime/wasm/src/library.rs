//! The loaded programs of a generation, and a worker's side of them.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pilotlight_abi::Phases;
use pilotlight_filter::engine::LoadError;
use pilotlight_filter::host::{Level, LogLine, Module};
use pilotlight_filter::{Filter, Library, Realm, Services};

#[cfg(feature = "components")]
use crate::component::app::{App, Site};
use crate::host::{Budget, Gauge};
use crate::modules::{self, Callee};
use crate::proxy_wasm::filter;
use crate::proxy_wasm::pool::{Pool, Program};
use crate::ticker::Ticker;
use crate::workshop::Later;

/// What a manifest's Wasm came to.
#[derive(Default)]
pub(crate) struct Programs {
    pub(crate) filters: Vec<Entry>,
    pub(crate) modules: Vec<Named>,
    /// How many were mapped and tried at this load.
    pub(crate) tried: usize,
    /// Memory of all instances.
    pub(crate) budget: Arc<Budget>,
    /// What is odd about them.
    pub(crate) notes: Vec<LoadError>,
    /// There is one when there is a program.
    pub(crate) ticker: Option<Arc<Ticker>>,
}

/// A module that scripts call, by its name.
type Named = (Arc<str>, Arc<Later<Arc<Callee>>>);

/// A filter, or an application.
pub(crate) enum Entry {
    Filter(Arc<Program>),
    #[cfg(feature = "components")]
    App(Arc<App>),
}

/// The same on one worker.
enum Place {
    Filter(Rc<Pool>),
    #[cfg(feature = "components")]
    App(Site),
}

impl Place {
    fn memory(&self) -> (&str, &Gauge) {
        match self {
            Place::Filter(pool) => (&pool.program.name, &pool.gauge),
            #[cfg(feature = "components")]
            Place::App(site) => (&site.app.name, &site.gauge),
        }
    }

    fn pool(&self) -> Option<&Rc<Pool>> {
        match self {
            Place::Filter(pool) => Some(pool),
            #[cfg(feature = "components")]
            Place::App(_) => None,
        }
    }
}

/// A module on one worker.
struct Shelf {
    callee: Arc<Later<Arc<Callee>>>,
    ticker: Arc<Ticker>,
    services: Rc<dyn Services>,
    gauge: Arc<Gauge>,
    /// Made when a script first asks for it.
    pool: OnceCell<Rc<modules::Pool>>,
}

struct Worker {
    filters: Vec<Place>,
    modules: HashMap<Arc<str>, Shelf>,
}

impl Library for Programs {
    fn phases(&self, index: usize) -> Phases {
        match self.filters.get(index) {
            Some(Entry::Filter(program)) => program.outcome.phases,
            #[cfg(feature = "components")]
            Some(Entry::App(_)) => Phases::NONE.with(pilotlight_abi::Phase::Request),
            None => Phases::NONE,
        }
    }

    fn notes(&self) -> &[LoadError] {
        &self.notes
    }

    fn tried(&self) -> usize {
        self.tried
    }

    fn open(&self, services: Rc<dyn Services>) -> Rc<dyn Realm> {
        let Some(ticker) = &self.ticker else {
            let (filters, modules) = (Vec::new(), HashMap::new());
            return Rc::new(Worker { filters, modules });
        };
        let place = |entry: &Entry| {
            let (ticker, services) = (Arc::clone(ticker), Rc::clone(&services));
            match entry {
                Entry::Filter(program) => {
                    let gauge = Gauge::new(&self.budget);
                    Place::Filter(Pool::new(Arc::clone(program), ticker, services, gauge))
                }
                #[cfg(feature = "components")]
                Entry::App(app) => {
                    let (app, gauge) = (Arc::clone(app), Gauge::new(&self.budget));
                    Place::App(Site { app, ticker, services, gauge })
                }
            }
        };
        let shelf = |(name, callee): &Named| {
            let (callee, ticker) = (Arc::clone(callee), Arc::clone(ticker));
            let gauge = Gauge::new(&self.budget);
            let services = Rc::clone(&services);
            (Arc::clone(name), Shelf { callee, ticker, services, gauge, pool: OnceCell::new() })
        };
        Rc::new(Worker {
            filters: self.filters.iter().map(place).collect(),
            modules: self.modules.iter().map(shelf).collect(),
        })
    }
}

impl Worker {
    /// Those of filters: an application's instances go with their exchanges.
    fn pools(&self) -> impl Iterator<Item = &Rc<Pool>> {
        self.filters.iter().filter_map(Place::pool)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.pools().for_each(|pool| pool.close());
    }
}

impl Realm for Worker {
    fn start(&self, index: usize) -> Box<dyn Filter> {
        match &self.filters[index] {
            Place::Filter(pool) => filter::start(pool),
            #[cfg(feature = "components")]
            Place::App(site) => site.start(),
        }
    }

    fn module(&self, name: &str) -> Option<Rc<dyn Module>> {
        let shelf = self.modules.get(name)?;
        let pool = match (shelf.pool.get(), shelf.callee.get()) {
            (Some(pool), _) => pool,
            (None, Ok(callee)) => shelf.pool.get_or_init(|| {
                let (ticker, services) = (Arc::clone(&shelf.ticker), Rc::clone(&shelf.services));
                let gauge = Arc::clone(&shelf.gauge);
                Rc::new(modules::Pool::new(Arc::clone(callee), ticker, services, gauge))
            }),
            (None, Err(fault)) => {
                let (filter, message) = (name, &*fault.message);
                let line = LogLine { level: Level::Error, filter, id: "", message, fields: &[] };
                shelf.services.log(&line);
                return None;
            }
        };
        Some(Rc::new(modules::Handle(Rc::clone(pool))))
    }

    fn rest(&self) {
        self.pools().for_each(|pool| pool.rest());
    }

    fn trim(&self) {
        self.pools().for_each(|pool| pool.trim());
        self.modules.values().filter_map(|shelf| shelf.pool.get()).for_each(|pool| pool.trim());
    }

    fn is_busy(&self) -> bool {
        self.pools().any(|pool| pool.is_busy())
    }

    fn gauges(&self, report: &mut dyn FnMut(&'static str, &str, u64)) {
        let modules = self.modules.iter().map(|(name, shelf)| (&**name, &*shelf.gauge));
        for (name, gauge) in self.filters.iter().map(Place::memory).chain(modules) {
            report("wasm_memory", name, gauge.bytes.load(Ordering::Relaxed));
            report("wasm_instances", name, gauge.instances.load(Ordering::Relaxed));
        }
    }
}
