//! Upstreams: where requests are sent on.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Activate, Admission, Health, Outlier};
use crate::place::Place;

/// A set of servers that do the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where it is defined.
    pub place: Place,
    /// Empty where the instances of `activate` are the endpoints, and where there is a `split`; only there.
    pub endpoints: Vec<Endpoint>,
    /// How requests are spread.
    pub balance: Balance,
    /// What is spoken.
    pub protocol: UpstreamProtocol,
    /// How `https` and `tls` endpoints are reached.
    pub tls: UpstreamTls,
    /// Connections that are kept open.
    pub pool: Pool,
    /// The most that is under way at once.
    pub breaker: Breaker,
    /// How many exchanges are let in at a time, below what the breaker allows; `None`: all of them.
    pub admission: Option<Admission>,
    /// How long the servers may take.
    pub timeouts: UpstreamTimeouts,
    /// Probes of its endpoints, if there are any.
    pub health: Option<Health>,
    /// When endpoints that answer with errors are left out.
    pub outlier: Option<Outlier>,
    /// The upstreams that requests go to instead, if there are such.
    pub split: Option<Split>,
    /// The application behind it, if the gateway starts and stops that.
    pub activate: Option<Arc<Activate>>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is defined.
    pub place: Place,
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// A name or an address, without brackets; for Unix sockets, the path.
    pub host: String,
    /// 0 for Unix sockets.
    pub port: u16,
    /// The socket, instead of host and port.
    pub unix: Option<PathBuf>,
    /// Its share of the requests, relative to the others'; at least 1.
    pub weight: u32,
    /// What its host stands for.
    pub lookup: Lookup,
}

/// How an endpoint's host leads to an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lookup {
    /// It is looked up by each connection, if it is a name.
    #[default]
    Connect,
    /// Each of its addresses is an endpoint.
    Dns,
    /// Each server that it stands for is an endpoint; its port is 0.
    Srv,
    /// This is one of them.
    Found(IpAddr),
}

impl Endpoint {
    /// Whether it stands for endpoints that have to be found.
    pub fn is_sought(&self) -> bool {
        matches!(self.lookup, Lookup::Dns | Lookup::Srv)
    }
}

/// Upstreams of which each request goes to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// One of them at least has a weight, and none is a split itself.
    pub variants: Vec<Variant>,
    /// Who comes back with this cookie stays where it says.
    pub cookie: Option<String>,
}

/// An upstream of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name, which the cookie holds.
    pub name: Arc<str>,
    /// An index into `Manifest::upstreams`.
    pub upstream: usize,
    /// Its share of the requests, relative to the others'.
    pub weight: u32,
}

/// How requests are spread over endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// In turn, by weight.
    RoundRobin,
    /// The less busy of two.
    LeastRequest,
    /// By chance, by weight.
    Random,
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// By ALPN over TLS, HTTP/1.1 in clear text.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in clear text.
    Http2,
    /// Bytes of connections, as they are.
    Tcp,
}

/// How `https` and `tls` endpoints are reached.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpstreamTls {
    /// Trusted instead of the system's roots.
    pub ca: Option<PathBuf>,
    /// The name that the certificate must hold; `None`: the endpoint's host.
    pub server_name: Option<String>,
    /// The gateway's own certificate.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Whether certificates are checked.
    pub verify: bool,
}

/// Connections that are kept open.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// How long a connection stays open without an exchange.
    pub idle: Duration,
    /// Idle connections kept for each endpoint by each worker.
    pub per_endpoint: usize,
}

/// The most that is under way at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Breaker {
    /// Open connections.
    pub max_connections: usize,
    /// Exchanges.
    pub max_requests: usize,
    /// Exchanges that wait for a connection.
    pub max_pending: usize,
}

/// How long an upstream's servers may take.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamTimeouts {
    /// To connect, with TLS.
    pub connect: Duration,
    /// From the request's last byte to the response's head.
    pub first_byte: Duration,
    /// Between two reads of the response's body.
    pub idle: Duration,
}
