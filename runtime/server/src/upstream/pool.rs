//! A worker's connections to one upstream: idle ones by endpoint, newest first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_config::manifest;
use pilotlight_core::balance::Balancer;
use pilotlight_core::breaker::{Breaker, Limit};
use rustls::ClientConfig;

use super::{Outbound, UpstreamError, connect, h1, h2};
use crate::worker::Worker;

pub(crate) use pilotlight_core::breaker::Permit;

/// What all workers know of an upstream.
pub(crate) struct Shared {
    pub(crate) meant: manifest::Upstream,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A worker's side of an upstream.
pub(crate) struct Upstream {
    pub(crate) shared: Arc<Shared>,
    balancer: RefCell<Balancer>,
    endpoints: Vec<Endpoint>,
    sweeping: Cell<bool>,
}

#[derive(Default)]
struct Endpoint {
    idle: RefCell<Vec<Idle>>,
    multiplexed: RefCell<Option<(h2::Connection, Permit)>>,
    active: Cell<usize>,
}

struct Idle {
    conn: Rc<RefCell<h1::Connection>>,
    /// The worker's clock, milliseconds.
    since: u64,
}

/// An exchange's hold on an endpoint: counts it as active until dropped.
pub(crate) struct Lease {
    upstream: Rc<Upstream>,
    pub(crate) endpoint: usize,
    _request: Permit,
}

impl Upstream {
    pub(crate) fn new(shared: Arc<Shared>, seed: u64) -> Upstream {
        let meant = &shared.meant;
        let weights: Vec<u32> = meant.endpoints.iter().map(|e| e.weight).collect();
        Upstream {
            balancer: RefCell::new(Balancer::new(&meant.balance, &weights).starting_at(seed)),
            endpoints: meant.endpoints.iter().map(|_| Endpoint::default()).collect(),
            sweeping: Cell::new(false),
            shared,
        }
    }

    /// Picks an endpoint that is not among `tried`.
    pub(crate) fn lease(
        self: &Rc<Upstream>,
        worker: &Worker,
        tried: &[usize],
    ) -> Result<Lease, UpstreamError> {
        let request =
            self.shared.breaker.acquire(Limit::Requests).map_err(|_| UpstreamError::Limit)?;
        let active = |index: usize| self.endpoints[index].active.get();
        let picked = self.balancer.borrow_mut().pick(tried, active, worker.random());
        let endpoint = picked.ok_or(UpstreamError::NoEndpoint)?;
        let count = &self.endpoints[endpoint].active;
        count.set(count.get() + 1);
        Ok(Lease { upstream: self.clone(), endpoint, _request: request })
    }

    /// Keeps a connection for later.
    pub(crate) fn put(
        self: &Rc<Upstream>,
        worker: &Rc<Worker>,
        endpoint: usize,
        conn: Rc<RefCell<h1::Connection>>,
    ) {
        let mut idle = self.endpoints[endpoint].idle.borrow_mut();
        if idle.len() < self.shared.meant.pool.per_endpoint {
            idle.push(Idle { conn, since: worker.clock.millis() });
            if !self.sweeping.replace(true) {
                tokio::task::spawn_local(self.clone().sweep(worker.clone()));
            }
        }
    }

    /// Closes what has idled too long, as long as anything idles.
    async fn sweep(self: Rc<Upstream>, worker: Rc<Worker>) {
        let most = self.shared.meant.pool.idle;
        loop {
            tokio::time::sleep((most / 4).max(Duration::from_millis(250))).await;
            let oldest = worker.clock.millis().saturating_sub(most.as_millis() as u64);
            let mut left = 0;
            for endpoint in &self.endpoints {
                let mut idle = endpoint.idle.borrow_mut();
                idle.retain(|i| i.since > oldest && i.conn.borrow_mut().is_quiet());
                left += idle.len();
            }
            if left == 0 {
                self.sweeping.set(false);
                return;
            }
        }
    }
}

impl Lease {
    /// A connection that is there already. `fresh`: none but a new one will do.
    pub(crate) fn reuse(&self) -> Option<Outbound> {
        let endpoint = &self.upstream.endpoints[self.endpoint];
        if let Some((connection, _)) = &*endpoint.multiplexed.borrow()
            && connection.is_usable()
        {
            return Some(Outbound::H2(connection.open()));
        }
        let mut idle = endpoint.idle.borrow_mut();
        while let Some(Idle { conn, .. }) = idle.pop() {
            if conn.borrow_mut().is_quiet() {
                return Some(Outbound::H1(h1::Outbound::new(conn)));
            }
        }
        None
    }

    /// A new connection.
    pub(crate) async fn connect(&self, worker: &Rc<Worker>) -> Result<Outbound, UpstreamError> {
        let shared = &self.upstream.shared;
        let permit =
            shared.breaker.acquire(Limit::Connections).map_err(|_| UpstreamError::Limit)?;
        let endpoint = &shared.meant.endpoints[self.endpoint];
        match connect::connect(shared, endpoint).await? {
            connect::Connected::H1(stream) => {
                let upstream = self.upstream.clone();
                let conn =
                    h1::Connection::new(worker.clone(), upstream, self.endpoint, stream, permit);
                Ok(Outbound::H1(h1::Outbound::new(conn)))
            }
            connect::Connected::H2(connection) => {
                let outbound = connection.open();
                *self.upstream.endpoints[self.endpoint].multiplexed.borrow_mut() =
                    Some((connection, permit));
                Ok(Outbound::H2(outbound))
            }
        }
    }

    /// The longest wait for a response's head, by the route or else the upstream.
    pub(crate) fn first_byte(&self, route: Option<Duration>) -> Duration {
        route.unwrap_or(self.upstream.shared.meant.timeouts.first_byte)
    }

    /// The longest wait between two reads of a response's body.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.upstream.shared.meant.timeouts.idle
    }

    /// The endpoint's address, for logs.
    pub(crate) fn address(&self) -> String {
        let endpoint = &self.upstream.shared.meant.endpoints[self.endpoint];
        match &endpoint.unix {
            Some(path) => format!("unix:{}", path.display()),
            None => format!("{}:{}", endpoint.host, endpoint.port),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let count = &self.upstream.endpoints[self.endpoint].active;
        count.set(count.get() - 1);
    }
}
