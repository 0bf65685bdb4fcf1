//! Listeners: where clients connect.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Address;
use crate::place::Place;

/// Where clients connect.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where it is defined.
    pub place: Place,
    /// Where it listens.
    pub address: Address,
    /// HTTP/1.0 and 1.1.
    pub http1: bool,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in clear text.
    pub http2: bool,
    /// HTTP/3, on the same port over UDP. Only with TLS.
    pub http3: bool,
    /// None of these: its connections go to an upstream as they are, an index into
    /// `Manifest::upstreams`.
    pub tcp: Option<usize>,
    /// `None`: clear text.
    pub tls: Option<ServerTls>,
    /// Each connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// For what comes before a route is known: indexes into `Manifest::filters`.
    pub filters: Vec<usize>,
    /// How much clients may send.
    pub limits: ListenerLimits,
    /// How long clients may take.
    pub timeouts: ListenerTimeouts,
}

impl Listener {
    /// Whether clients connect to it, and not only send it datagrams.
    pub fn has_streams(&self) -> bool {
        self.http1 || self.http2 || self.tcp.is_some()
    }
}

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerTls {
    /// The first one answers clients that name no server, or an unknown one.
    pub certificates: Vec<KeyPair>,
    /// Mutual TLS: clients must show a certificate that one of these signed.
    pub client_ca: Option<PathBuf>,
    /// Clients get tickets to go on with their session.
    pub tickets: bool,
    /// TLS 1.3 early data (replayable: GET and HEAD only). Off by default.
    pub early_data: bool,
}

/// A certificate with its key, both PEM files.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyPair {
    /// Where it is defined.
    pub place: Place,
    /// The certificate, then its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How much clients may send.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerLimits {
    /// A whole head, in bytes.
    pub header_bytes: usize,
    /// Fields in a head.
    pub headers: usize,
    /// The request target, in bytes.
    pub uri_bytes: usize,
    /// A request's body, in bytes.
    pub body_bytes: u64,
    /// Concurrent streams of a connection (HTTP/2, HTTP/3).
    pub streams: u32,
    /// Open connections.
    pub connections: usize,
}

/// How long clients may take.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTimeouts {
    /// From a head's first byte to its last.
    pub header: Duration,
    /// Between two reads of a request's body, and two writes of a response.
    pub body_idle: Duration,
    /// An open connection without an exchange.
    pub keepalive: Duration,
    /// A TLS or QUIC handshake.
    pub handshake: Duration,
    /// A connection without HTTP on which nothing moves.
    pub idle: Duration,
}
