//! Upstreams that no manifest names: hosts of programs' URLs, and servers that filters pick. A worker
//! keeps those of late, with their connections.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use pilotlight_config::manifest;
use pilotlight_filter::Pick;

use super::{Shared, Upstream, Way};
use crate::tls::{ClientTls, TlsProblem};
use crate::worker::Worker;

/// Upstreams that are kept.
const HOSTS_MAX: usize = 256;
/// Longest waits for a host of a URL; whoever fetches has a limit of its own.
const TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub(crate) struct Hosts {
    kept: RefCell<HashMap<Box<str>, Rc<Upstream>, RandomState>>,
}

impl Hosts {
    /// Forgets those that nobody uses.
    pub(crate) fn trim(&self) {
        let mut kept = self.kept.borrow_mut();
        kept.values().for_each(|upstream| upstream.trim());
        kept.retain(|_, upstream| Rc::strong_count(upstream) > 1);
    }

    /// The host of a URL.
    ///
    /// # Errors
    /// When the system's issuers can't be read.
    pub(crate) fn of_url(
        &self,
        worker: &Worker,
        client_tls: &ClientTls,
        tls: bool,
        host: &str,
        port: u16,
    ) -> Result<Rc<Upstream>, TlsProblem> {
        let key = format!("{}{host} {port}", if tls { "https://" } else { "http://" });
        let meant = || manifest::Upstream {
            name: Arc::from(key.as_str()),
            place: Default::default(),
            endpoints: vec![endpoint(tls, host, port)],
            balance: manifest::Balance::RoundRobin,
            protocol: manifest::UpstreamProtocol::Auto,
            tls: manifest::UpstreamTls { verify: true, ..Default::default() },
            pool: manifest::Pool { idle: Duration::from_secs(30), per_endpoint: 8 },
            breaker: manifest::Breaker {
                max_connections: 256,
                max_requests: 256,
                max_pending: 256,
            },
            admission: None,
            timeouts: manifest::UpstreamTimeouts {
                connect: Duration::from_secs(3),
                first_byte: TIMEOUT,
                idle: TIMEOUT,
            },
            health: None,
            outlier: None,
            split: None,
            activate: None,
        };
        self.keep(worker, client_tls, &key, meant)
    }

    /// A server that a filter picked: what it does not say is as `upstream` has it.
    ///
    /// # Errors
    /// When files that the upstream's TLS names can't be read any more.
    pub(crate) fn of_pick(
        &self,
        worker: &Worker,
        client_tls: &ClientTls,
        upstream: &Upstream,
        pick: &Pick,
    ) -> Result<Rc<Upstream>, TlsProblem> {
        let like = &upstream.shared.meant;
        let tls = pick.tls.unwrap_or(like.endpoints.first().is_some_and(|first| first.tls));
        let Pick { host, port, server_name, connect, read, .. } = pick;
        let key = format!("{} {tls} {host} {port} {server_name:?} {connect:?} {read:?}", like.name);
        let meant = || {
            let mut meant = like.clone();
            meant.endpoints = vec![endpoint(tls, host, *port)];
            meant.activate = None;
            if let Some(name) = server_name {
                meant.tls.server_name = Some(name.to_string());
            }
            let timeouts = &mut meant.timeouts;
            timeouts.connect = connect.unwrap_or(timeouts.connect);
            timeouts.first_byte = read.unwrap_or(timeouts.first_byte);
            timeouts.idle = read.unwrap_or(timeouts.idle);
            meant
        };
        self.keep(worker, client_tls, &key, meant)
    }

    fn keep(
        &self,
        worker: &Worker,
        client_tls: &ClientTls,
        key: &str,
        meant: impl FnOnce() -> manifest::Upstream,
    ) -> Result<Rc<Upstream>, TlsProblem> {
        let mut kept = self.kept.borrow_mut();
        if let Some(known) = kept.get(key) {
            return Ok(known.clone());
        }
        let meant = meant();
        let tls = match meant.endpoints[0].tls {
            true => Some(client_tls.config(&meant.tls, meant.protocol)?),
            false => None,
        };
        let upstream = Rc::new(Upstream::new(Shared::new(meant, tls, Way::Plain), worker.random()));
        if kept.len() >= HOSTS_MAX
            && let Some(any) = kept.keys().next().cloned()
        {
            kept.remove(&any);
        }
        kept.insert(key.into(), upstream.clone());
        Ok(upstream)
    }
}

fn endpoint(tls: bool, host: &str, port: u16) -> manifest::Endpoint {
    let unix = host.strip_prefix("unix:");
    manifest::Endpoint {
        place: Default::default(),
        tls,
        host: unix.unwrap_or(host).to_owned(),
        port,
        unix: unix.map(Into::into),
        weight: 1,
        lookup: Default::default(),
    }
}
