//! A worker's connections to one upstream: by endpoint, newest first.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_config::manifest::{self, Lookup, UpstreamProtocol};
use pilotlight_core::balance::Balancer;
use pilotlight_core::breaker::{self, Breaker, Limit};
use rustls::ClientConfig;
use tokio::sync::{Notify, watch};

use super::instances::Instances;
use super::lease::{Lease, Opening};
use super::members::Members;
use super::queue::Queue;
use super::roster::Roster;
use super::{UpstreamError, h1, h2};
use crate::apps::App;
use crate::worker::Worker;

/// What all workers know of an upstream.
pub(crate) struct Shared {
    pub(crate) meant: manifest::Upstream,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) way: Way,
    /// A connection has ended: there is room for another.
    pub(super) freed: Arc<Notify>,
    /// A request waits: workers should let go of connections that idle.
    pub(super) wanted: Arc<watch::Sender<()>>,
}

/// How an exchange comes by an endpoint.
pub(crate) enum Way {
    /// They are those of the manifest, and all that are not tried already are as good.
    Plain,
    /// They come and go.
    Watched(Arc<Roster>),
    /// The gateway starts and stops the application behind it.
    App(Arc<App>),
}

impl Shared {
    pub(crate) fn new(
        meant: manifest::Upstream,
        tls: Option<Arc<ClientConfig>>,
        way: Way,
    ) -> Arc<Shared> {
        let breaker = Breaker::new(&meant.breaker);
        let (freed, wanted) = (Arc::default(), Arc::new(watch::Sender::new(())));
        Arc::new(Shared { meant, breaker, tls, way, freed, wanted })
    }

    /// The same at one endpoint: limits are those of all together.
    pub(super) fn at(&self, endpoint: manifest::Endpoint) -> Arc<Shared> {
        let mut meant = self.meant.clone();
        (meant.endpoints, meant.activate) = (vec![endpoint], None);
        Arc::new(Shared {
            meant,
            breaker: self.breaker.clone(),
            tls: self.tls.clone(),
            way: Way::Plain,
            freed: self.freed.clone(),
            wanted: self.wanted.clone(),
        })
    }

    /// The application behind it, if the gateway starts and stops that.
    pub(crate) fn app(&self) -> Option<&Arc<App>> {
        match &self.way {
            Way::App(app) => Some(app),
            _ => None,
        }
    }

    /// What is known of its endpoints, where that changes.
    pub(crate) fn roster(&self) -> Option<&Arc<Roster>> {
        match &self.way {
            Way::Watched(roster) => Some(roster),
            _ => None,
        }
    }

    /// How many endpoints have had a turn when all have; those that come and go begin anew by themselves.
    pub(crate) fn width(&self) -> usize {
        self.roster().map_or(self.meant.endpoints.len(), |_| usize::MAX)
    }

    /// Whether no endpoint takes requests.
    pub(crate) fn is_out(&self) -> bool {
        self.roster().is_some_and(|roster| roster.is_known() && roster.ready() == 0)
    }

    /// Leave for one more connection.
    pub(super) fn connection(self: &Arc<Shared>) -> Option<Permit> {
        let permit = self.breaker.connection().ok()?;
        Some(Permit { permit: Some(permit), shared: self.clone() })
    }
}

/// Leave for a connection. Dropping it tells those who wait for one.
pub(crate) struct Permit {
    permit: Option<breaker::Permit>,
    shared: Arc<Shared>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.shared.freed.notify_waiters();
    }
}

/// A worker's side of an upstream.
pub(crate) struct Upstream {
    pub(crate) shared: Arc<Shared>,
    balancer: RefCell<Balancer>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) queue: Queue,
    /// Those of the application behind it.
    pub(super) instances: Instances,
    pub(super) members: Members,
    sweeping: Cell<bool>,
}

pub(super) struct Endpoint {
    /// Its address or path, for logs and scripts.
    pub(super) address: Rc<str>,
    idle: RefCell<Vec<Idle>>,
    multiplexed: RefCell<Vec<Rc<Multiplexed>>>,
    /// One that is being opened and will take many exchanges: others wait for it.
    pub(super) opening: RefCell<Option<Opening>>,
    /// The last connection took one exchange at a time.
    pub(super) single: Cell<bool>,
    pub(super) active: Cell<usize>,
}

impl Endpoint {
    fn new(meant: &manifest::Endpoint) -> Endpoint {
        Endpoint {
            address: address(meant).into(),
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            opening: RefCell::default(),
            single: Cell::default(),
            active: Cell::default(),
        }
    }
}

/// An endpoint's address or path, as logs and scripts name it.
pub(super) fn address(meant: &manifest::Endpoint) -> String {
    match (&meant.unix, meant.lookup) {
        (Some(path), _) => format!("unix:{}", path.display()),
        (None, Lookup::Found(address)) => SocketAddr::from((address, meant.port)).to_string(),
        (None, _) => format!("{}:{}", meant.host, meant.port),
    }
}

struct Idle {
    conn: Rc<RefCell<h1::Connection>>,
    /// The worker's clock, milliseconds.
    since: u64,
}

/// A connection for many exchanges, each of which holds it.
pub(super) struct Multiplexed {
    pub(super) connection: h2::Connection,
    /// When its last exchange ended: the worker's clock, milliseconds.
    pub(super) since: Cell<u64>,
    _permit: Permit,
}

impl Upstream {
    pub(crate) fn new(shared: Arc<Shared>, seed: u64) -> Upstream {
        let meant = &shared.meant;
        let weights: Vec<u32> = meant.endpoints.iter().map(|e| e.weight).collect();
        Upstream {
            balancer: RefCell::new(Balancer::new(&meant.balance, &weights).starting_at(seed)),
            endpoints: meant.endpoints.iter().map(Endpoint::new).collect(),
            queue: Queue::default(),
            instances: Instances::default(),
            members: Members::default(),
            sweeping: Cell::new(false),
            shared,
        }
    }

    /// Picks an endpoint that is not among `tried`.
    pub(crate) fn lease(
        self: &Rc<Upstream>,
        worker: &Rc<Worker>,
        tried: &[usize],
    ) -> Result<Lease, UpstreamError> {
        let exchanges = self.shared.meant.protocol != UpstreamProtocol::Tcp;
        let request = exchanges.then(|| self.shared.breaker.request()).transpose();
        let request = request.map_err(|_| UpstreamError::Limit)?;
        let active = |index: usize| self.endpoints[index].active.get();
        let picked = self.balancer.borrow_mut().pick(tried, active, worker.random());
        let endpoint = picked.ok_or(UpstreamError::NoEndpoint)?;
        Ok(Lease::new(self.clone(), worker.clone(), endpoint, request))
    }

    /// Keeps a connection for later.
    pub(crate) fn put(
        self: &Rc<Upstream>,
        worker: &Rc<Worker>,
        endpoint: usize,
        conn: Rc<RefCell<h1::Connection>>,
    ) {
        let mut idle = self.endpoints[endpoint].idle.borrow_mut();
        // One more than the manifest wants, while somebody here waits for just this one.
        let most = self.shared.meant.pool.per_endpoint + usize::from(!self.queue.is_empty());
        if idle.len() < most {
            idle.push(Idle { conn, since: worker.clock.millis() });
            self.sweep(worker);
        }
    }

    /// Keeps a connection that others may use at once.
    pub(super) fn share(
        self: &Rc<Upstream>,
        worker: &Rc<Worker>,
        endpoint: usize,
        connection: h2::Connection,
        permit: Permit,
    ) -> Rc<Multiplexed> {
        let shared = Multiplexed::new(connection, permit);
        self.endpoints[endpoint].multiplexed.borrow_mut().push(shared.clone());
        self.sweep(worker);
        shared
    }

    /// Closes all that idle.
    pub(crate) fn trim(&self) {
        for endpoint in &self.endpoints {
            endpoint.close_idle(u64::MAX, true);
        }
        self.instances.trim();
        self.members.trim();
    }

    /// Gives a connection that idles up, so that there is room for another; the oldest first.
    pub(super) fn make_room(&self) -> bool {
        let oldest = self.endpoints.iter().filter_map(|e| Some((e.oldest()?, e)));
        let Some((since, endpoint)) = oldest.min_by_key(|(since, _)| *since) else { return false };
        endpoint.close_idle(since, false);
        true
    }

    /// An exchange has ended: its connection, or its place on one, goes to who waits here, or else
    /// away for those who wait on other workers.
    pub(super) fn free(&self) {
        if !self.queue.is_empty() {
            self.queue.wake();
        } else if self.shared.breaker.used(Limit::Pending) > 0 {
            self.make_room();
        }
    }

    /// Closes what has idled too long or is in somebody's way, as long as anything is there.
    fn sweep(self: &Rc<Upstream>, worker: &Rc<Worker>) {
        if self.sweeping.replace(true) {
            return;
        }
        let (upstream, worker) = (self.clone(), worker.clone());
        // From here on nobody's wish is missed.
        let mut wanted = self.shared.wanted.subscribe();
        tokio::task::spawn_local(async move {
            let most = upstream.shared.meant.pool.idle;
            loop {
                tokio::select! {
                    () = tokio::time::sleep((most / 4).max(Duration::from_millis(250))) => {}
                    _ = wanted.changed() => drop(upstream.make_room()),
                }
                let oldest = worker.clock.millis().saturating_sub(most.as_millis() as u64);
                let left = upstream.endpoints.iter().map(|e| e.close_idle(oldest, true)).sum();
                if matches!(left, 0usize) {
                    upstream.sweeping.set(false);
                    return;
                }
            }
        });
    }
}

impl Endpoint {
    /// A kept connection for one exchange.
    pub(super) fn single(&self) -> Option<Rc<RefCell<h1::Connection>>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { conn, .. }) = idle.pop() {
            if conn.borrow_mut().is_quiet() {
                return Some(conn);
            }
        }
        None
    }

    /// A connection that takes one more exchange.
    pub(super) fn multiplexed(&self) -> Option<Rc<Multiplexed>> {
        let mut all = self.multiplexed.borrow_mut();
        all.retain(|m| m.connection.is_usable() || m.is_busy());
        all.iter().find(|m| m.connection.is_usable()).cloned()
    }

    /// Since when the oldest connection without an exchange is so.
    fn oldest(&self) -> Option<u64> {
        let multiplexed = self.multiplexed.borrow();
        let quiet = multiplexed.iter().filter(|m| !m.is_busy()).map(|m| m.since.get());
        quiet.chain(self.idle.borrow().first().map(|i| i.since)).min()
    }

    /// Closes what idles since then or longer (`all`), or one such; says how many are left.
    fn close_idle(&self, since: u64, all: bool) -> usize {
        let mut more = true;
        let mut stays = |quiet: bool, idles: u64| {
            let goes = more && quiet && idles <= since;
            more &= !goes || all;
            !goes
        };
        let (mut idle, mut multiplexed) = (self.idle.borrow_mut(), self.multiplexed.borrow_mut());
        idle.retain(|i| stays(true, i.since) && (!all || i.conn.borrow_mut().is_quiet()));
        multiplexed.retain(|m| stays(!m.is_busy(), m.since.get()));
        idle.len() + multiplexed.len()
    }
}

impl Multiplexed {
    pub(super) fn new(connection: h2::Connection, permit: Permit) -> Rc<Multiplexed> {
        Rc::new(Multiplexed { connection, since: Cell::new(0), _permit: permit })
    }

    /// Whether an exchange holds it.
    fn is_busy(self: &Rc<Multiplexed>) -> bool {
        Rc::strong_count(self) > 1
    }
}
