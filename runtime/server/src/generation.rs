//! One version of the configuration, loaded: an exchange runs on the generation it began with.
//!
//! [`Generation`] is what all workers share, immutable; [`Local`] is a worker's side of it: VMs,
//! module instances, pools.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use pilotlight_abi::{Phase, Phases};
use pilotlight_config::manifest::{self, Manifest};
use pilotlight_core::retry::Budget;
use pilotlight_core::router::Router;
use pilotlight_core::split;
use pilotlight_filter::{Chain, Fields, Library, Link, OnError, Realm, host};

use crate::admission::Gates;
use crate::apps::App;
use crate::aside::Pools;
use crate::clock::{self, Clock};
use crate::ledger::Ledger;
use crate::metrics::Series;
use crate::services::Host;
use crate::services::resolver::Resolver;
use crate::shipped::Limiter;
use crate::tls::{ClientTls, ProgramTls, ServerTls};
use crate::upstream::{Hosts, Shared, Upstream};
use crate::worker::Worker;

/// What engines have loaded, by the engines' names.
pub(crate) type Libraries = Vec<(&'static str, Arc<dyn Library>)>;

/// What a manifest became.
pub(crate) struct Generation {
    /// Counts up with each reload.
    pub(crate) number: u64,
    pub(crate) manifest: Manifest,
    pub(crate) router: Router,
    /// One an engine that has something to run, by the engine's name.
    pub(crate) libraries: Libraries,
    /// For each filter of the manifest, where its program is.
    pub(crate) programs: Vec<ProgramRef>,
    pub(crate) upstreams: Vec<Arc<Shared>>,
    /// Who is let in under overload.
    pub(crate) gates: Gates,
    pub(crate) listeners: Vec<Arc<Listener>>,
    pub(crate) dictionaries: BTreeMap<String, Arc<dyn host::Shared>>,
    /// Servers by which nodes have something together.
    pub(crate) ledgers: Vec<Arc<Ledger>>,
    pub(crate) limiters: Vec<Arc<Limiter>>,
    pub(crate) pools: Pools,
    pub(crate) client_tls: ClientTls,
    pub(crate) program_tls: Arc<ProgramTls>,
    pub(crate) series: Arc<Series>,
}

/// A program of one of the libraries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgramRef {
    pub(crate) library: usize,
    pub(crate) index: usize,
    pub(crate) phases: Phases,
}

/// A listener's settings, as connections see them.
pub(crate) struct Listener {
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
    pub(crate) settings: manifest::Listener,
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// Filters take part in its TLS handshakes.
    pub(crate) staged: bool,
    /// Connections that are open.
    pub(crate) open: Arc<AtomicUsize>,
    /// What probes of health ask for here.
    pub(crate) health: Option<Arc<str>>,
    /// The `Alt-Svc` value that announces HTTP/3 to clients of this listener.
    pub(crate) alt_svc: Option<Box<str>>,
}

/// Whether a filter of a listener takes part in TLS handshakes.
pub(crate) fn takes_part(phases: Phases) -> bool {
    Phase::HANDSHAKES.into_iter().any(|phase| phase.is_of_client() && phases.has(phase))
}

impl Generation {
    /// The applications behind its upstreams.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.upstreams.iter().filter_map(|shared| shared.app())
    }
}

fn seed() -> u64 {
    let mut seed = [0; 8];
    clock::random(&mut seed);
    u64::from_ne_bytes(seed)
}

/// A worker's side of a generation.
pub(crate) struct Local {
    pub(crate) generation: Arc<Generation>,
    pub(crate) realms: Vec<Rc<dyn Realm>>,
    pub(crate) upstreams: Vec<Rc<Upstream>>,
    /// Upstreams that the manifest does not name.
    pub(crate) hosts: Hosts,
    /// Whom programs' sockets ask for addresses.
    pub(crate) resolver: Option<Rc<Resolver>>,
    /// What is left to each route that retries, by its index.
    budgets: BTreeMap<usize, RefCell<Budget>>,
}

impl Local {
    /// Opens this worker's side; upstreams that did not change keep their connections.
    pub(crate) fn open(
        generation: Arc<Generation>,
        worker: Weak<Worker>,
        clock: Clock,
        old: Option<&Rc<Local>>,
    ) -> Rc<Local> {
        let reuse = |shared: &Arc<Shared>| {
            old?.upstreams.iter().find(|u| Arc::ptr_eq(&u.shared, shared)).cloned()
        };
        let upstreams = generation.upstreams.iter();
        let upstreams = upstreams
            .map(|shared| {
                reuse(shared).unwrap_or_else(|| Rc::new(Upstream::new(shared.clone(), seed())))
            })
            .collect();
        let routes = generation.manifest.routes.iter().enumerate();
        let budget = |(index, route): (usize, &manifest::Route)| {
            Some((index, RefCell::new(Budget::new(route.retry.as_ref()?.budget))))
        };
        let budgets = routes.filter_map(budget).collect();
        Rc::new_cyclic(|local| {
            let host = |_| Host::new(worker.clone(), local.clone(), clock);
            let realms =
                generation.libraries.iter().map(|(_, library)| library.open(host(()))).collect();
            Local {
                generation: generation.clone(),
                realms,
                upstreams,
                hosts: Hosts::default(),
                resolver: generation.manifest.resolver().map(|meant| {
                    let manifest::Resolver { servers, timeout, ipv6 } = meant.clone();
                    Resolver::new(servers, timeout, ipv6, clock)
                }),
                budgets,
            }
        })
    }

    /// A route's request goes to an upstream: it earns its share of a retry.
    pub(crate) fn earn_retry(&self, route: usize, now_millis: u64) {
        if let Some(budget) = self.budgets.get(&route) {
            budget.borrow_mut().request(now_millis);
        }
    }

    /// Takes a retry from a route's budget, if one is left.
    pub(crate) fn take_retry(&self, route: usize, now_millis: u64) -> bool {
        self.budgets.get(&route).is_some_and(|budget| budget.borrow_mut().take(now_millis))
    }

    /// The chain of a route, for a new exchange; a route's script stands last, if it has no place
    /// in it already.
    pub(crate) fn chain(&self, route: &manifest::Route) -> Chain {
        let manifest::Target::Script(script) = route.target else {
            if route.filters.is_empty() {
                return Chain::default();
            }
            return Chain::new(route.filters.iter().map(|i| self.link(*i)).collect());
        };
        let place = route.filters.iter().position(|filter| *filter == script);
        let last = place.is_none().then_some(script);
        let links = route.filters.iter().copied().chain(last).map(|i| self.link(i)).collect();
        Chain::new(links).with_target(place.or(Some(route.filters.len())))
    }

    /// The upstream that is asked for one, which may lead to several; and whether the client is to be told,
    /// so that it stays there.
    pub(crate) fn variant(
        &self,
        index: usize,
        fields: Option<&Fields>,
        seed: u64,
    ) -> (usize, bool) {
        let manifest = &self.generation.manifest;
        let Some(split) = manifest.upstreams.get(index).and_then(|meant| meant.split.as_ref())
        else {
            return (index, false);
        };
        let upstream = |at: usize| split.variants[at].upstream;
        let out = |at: usize| self.upstreams[upstream(at)].shared.is_out();
        let value = split.cookie.as_deref().and_then(|name| fields?.cookie(name.as_bytes()));
        let chosen = split::choose(split, value, out, seed);
        chosen.map_or((index, false), |chosen| (upstream(chosen.variant), chosen.is_new))
    }

    /// The chain that a connection of a listener passes at its beginning, and the listener's index;
    /// `None` when there is none.
    pub(crate) fn door(&self, listener: &str) -> Option<(usize, Chain)> {
        self.chain_of(listener, |phases| phases.has(Phase::Connect))
    }

    /// The same for the TLS handshakes of its connections.
    pub(crate) fn stages(&self, listener: &str) -> Option<(usize, Chain)> {
        self.chain_of(listener, takes_part)
    }

    /// A listener that takes no requests, and the upstream that its connections go to.
    pub(crate) fn tcp(&self, listener: &str) -> Option<(usize, usize)> {
        let mut listeners = self.generation.manifest.listeners.iter().enumerate();
        listeners.find_map(|(index, l)| Some((index, l.tcp.filter(|_| &*l.name == listener)?)))
    }

    /// The chain that the bytes of such a listener's connections pass, if it has one.
    pub(crate) fn gate(&self, listener: usize) -> Option<Chain> {
        const PHASES: Phases = Phases::NONE.with(Phase::Connect).with(Phase::Log);
        let filters = &self.generation.manifest.listeners[listener].filters;
        let link = |filter: &usize| Link { phases: PHASES, ..self.link(*filter) };
        (!filters.is_empty()).then(|| Chain::new(filters.iter().map(link).collect()))
    }

    /// The filters of a listener, if any of them is to be asked.
    fn chain_of(&self, listener: &str, is_asked: fn(Phases) -> bool) -> Option<(usize, Chain)> {
        let listeners = &self.generation.manifest.listeners;
        let index = listeners.iter().position(|known| &*known.name == listener)?;
        let filters = &listeners[index].filters;
        let asked = |filter: &usize| is_asked(self.generation.programs[*filter].phases);
        let chain = || Chain::new(filters.iter().map(|filter| self.link(*filter)).collect());
        filters.iter().any(asked).then(|| (index, chain()))
    }

    fn link(&self, filter: usize) -> Link {
        let program = self.generation.programs[filter];
        let meant = &self.generation.manifest.filters[filter];
        Link {
            name: meant.name.clone(),
            phases: program.phases,
            on_error: match meant.on_error {
                manifest::OnError::Close => OnError::Close,
                manifest::OnError::Open => OnError::Open,
            },
            filter: self.realms[program.library].start(program.index),
        }
    }
}
