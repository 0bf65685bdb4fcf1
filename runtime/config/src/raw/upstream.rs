//! `[upstreams]` as typed.

use std::time::Duration;

use super::{Activate, Admission, At, BalanceKind, Health, Outlier, Scale, TextOr, Whole};
use crate::{manifest, typed};

typed::tables! {
    /// A set of servers that do the same.
    struct Upstream {
        /// URLs: `["http://10.0.0.2:8080"]`, or tables with a weight. Those of listeners for "tcp":
        /// `["tcp://10.0.0.2:5432"]`. Required, but with `split`, and with `activate` where the gateway says
        /// where instances listen.
        endpoints: Vec<At<TextOr<Endpoint>>>,
        /// How requests are spread. Default "round-robin".
        balance: BalanceKind,
        /// "auto" (default): by ALPN over TLS, HTTP/1.1 in clear text. "tcp", which endpoints that are
        /// `tcp://` or `tls://` say, too: bytes of connections.
        protocol: manifest::UpstreamProtocol,
        /// How `https` and `tls` endpoints are reached.
        tls: UpstreamTls,
        /// Connections that are kept open.
        pool: Pool,
        /// The most that is under way at once.
        breaker: Breaker,
        /// How many exchanges are let in at a time, learnt from how long the servers take: `{}` does. Others
        /// wait, or are answered with 503. Default: as many as `breaker` allows.
        admission: Box<Admission>,
        /// How long the servers may take.
        timeouts: UpstreamTimeouts,
        /// Probes: an endpoint that fails them gets no requests until it passes them again. `{}` does.
        health: Health,
        /// An endpoint whose answers are errors, one after the other, gets no requests for a while. `{}` does.
        outlier: Outlier,
        /// Instead of endpoints: other upstreams, of which each request goes to one, by weight.
        split: Vec<At<Variant>>,
        /// Whoever has come to one of them stays there: "cookie:NAME". The gateway sets the cookie, which
        /// holds the upstream's name.
        sticky: String,
        /// An application that sleeps: the first request starts it, and it is stopped when there are none.
        /// Exactly one of `command`, `unit` and `container` says how.
        activate: Activate,
        /// How many instances of that application there are.
        scale: Scale,
    }

    /// An upstream of several.
    struct Variant needs [upstream] {
        /// Its name.
        upstream: String,
        /// Its share of the requests, relative to the others'. 0: only those that stay. Default 1.
        weight: Whole,
    }

    /// A server, by one of `url`, `dns` and `srv`.
    struct Endpoint {
        /// "http://HOST:PORT", "https://HOST:PORT", "tcp://HOST:PORT", "tls://HOST:PORT" or "unix:PATH".
        url: String,
        /// Its share of the requests, relative to the others'. Default 1.
        weight: Whole,
        /// TLS to a Unix socket, or to what `dns` or `srv` stands for; URLs say it by their scheme. Default
        /// false.
        tls: bool,
        /// "HOST:PORT": each address of the name is an endpoint, and that goes on. Servers are those of
        /// `lua.resolver`, else the system's.
        dns: String,
        /// "_http._tcp.HOST": each server that the name stands for is an endpoint, by weight, and those of the
        /// lowest priority stand in front.
        srv: String,
    }

    /// How `https` and `tls` endpoints are reached.
    struct UpstreamTls {
        /// PEM file: trusted instead of the system's authorities.
        ca: String,
        /// The name that the certificate must hold. Default: the endpoint's host.
        server_name: String,
        /// PEM file: the gateway's own certificate.
        certificate: String,
        /// PEM file: its private key.
        key: String,
        /// Whether certificates are checked. Default true.
        verify: bool,
    }

    /// Connections that are kept open.
    struct Pool {
        /// How long without an exchange. Default "60s".
        idle: Duration,
        /// How many for each endpoint, by each worker. Default 64.
        per_endpoint: Whole,
    }

    /// The most that is under way at once.
    struct Breaker {
        /// Open connections. Default 1024.
        max_connections: Whole,
        /// Exchanges, of which those for "tcp" have none. Default 1024.
        max_requests: Whole,
        /// Exchanges that wait while all connections are in use, each no longer than
        /// `timeouts.connect`. Default 1024.
        max_pending: Whole,
    }

    /// How long an upstream's servers may take.
    struct UpstreamTimeouts {
        /// To connect, with TLS. Default "3s".
        connect: Duration,
        /// From the request's last byte to the response's head. Default "30s".
        first_byte: Duration,
        /// Between two reads of a response's body. Default "60s".
        idle: Duration,
    }
}
