//! Filters that ship with the gateway, as an engine has them: `use = "..."`.

mod limiter;
mod rate_limit;
mod scaler;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, Weak};

use pilotlight_abi::{Phase, Phases};
use pilotlight_config::manifest::{Manifest, Program, Shipped};
use pilotlight_filter::host::{Module, Services, Shared};
use pilotlight_filter::{Filter, Library, Realm};

pub(crate) use self::limiter::Limiter;
use crate::clock::Clock;
use crate::control::Control;
use crate::ledger::Ledger;

/// What scalers look at, as long as the process is.
#[derive(Default)]
pub(crate) struct Desk {
    /// The gateway, once it is there.
    pub(crate) control: OnceLock<Weak<Control>>,
    latencies: scaler::Latencies,
    /// Exchanges of those who ask for figures: nobody is to scale by them.
    asking: AtomicUsize,
}

/// Those of a generation.
pub(crate) struct Ships(Arc<[Ship]>);

#[derive(Clone)]
enum Ship {
    Limit(Arc<Limiter>),
    Scaler(Arc<Desk>),
}

/// What they stand on.
pub(crate) struct Ground<'a> {
    pub(crate) dictionaries: &'a BTreeMap<String, Arc<dyn Shared>>,
    pub(crate) ledgers: &'a [Arc<Ledger>],
    /// The limiters before: those that mean the same go on.
    pub(crate) old: &'a [Arc<Limiter>],
    pub(crate) desk: &'a Arc<Desk>,
    pub(crate) clock: Clock,
}

impl Ships {
    /// Those of a manifest, in its order, and which of its filters they are; `None`: it has none.
    #[cold]
    pub(crate) fn load(manifest: &Manifest, ground: &Ground<'_>) -> Option<(Ships, Vec<usize>)> {
        let (mut ships, mut mine) = (Vec::new(), Vec::new());
        for (index, filter) in manifest.filters.iter().enumerate() {
            let Program::Shipped(shipped) = &filter.program else { continue };
            mine.push(index);
            ships.push(match &**shipped {
                Shipped::Scaler => Ship::Scaler(ground.desk.clone()),
                Shipped::RateLimit(limit) => {
                    Ship::Limit(Limiter::open(&filter.name, limit, ground)?)
                }
            });
        }
        (!mine.is_empty()).then(|| (Ships(ships.into()), mine))
    }

    /// Those that limit.
    pub(crate) fn limiters(&self) -> Vec<Arc<Limiter>> {
        let limiter = |ship: &Ship| match ship {
            Ship::Limit(limiter) => Some(limiter.clone()),
            Ship::Scaler(_) => None,
        };
        self.0.iter().filter_map(limiter).collect()
    }
}

impl Library for Ships {
    fn phases(&self, index: usize) -> Phases {
        const REQUEST: Phases = Phases::NONE.with(Phase::Request);
        match &self.0[index] {
            Ship::Limit(limiter) if limiter.meant.headers => REQUEST.with(Phase::Response),
            _ => REQUEST,
        }
    }

    fn open(&self, services: Rc<dyn Services>) -> Rc<dyn Realm> {
        Rc::new(Harbour { ships: self.0.clone(), services })
    }
}

/// A worker's side.
struct Harbour {
    ships: Arc<[Ship]>,
    services: Rc<dyn Services>,
}

impl Realm for Harbour {
    fn start(&self, index: usize) -> Box<dyn Filter> {
        match &self.ships[index] {
            Ship::Limit(limiter) => {
                Box::new(rate_limit::RateLimit::new(limiter.clone(), self.services.clone()))
            }
            Ship::Scaler(desk) => {
                Box::new(scaler::Scaler::new(desk.clone(), self.services.clone()))
            }
        }
    }

    fn module(&self, _: &str) -> Option<Rc<dyn Module>> {
        None
    }

    fn trim(&self) {}

    fn gauges(&self, _: &mut dyn FnMut(&'static str, &str, u64)) {}
}
