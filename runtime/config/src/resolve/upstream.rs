//! `[upstreams]`.

use std::sync::Arc;

use super::filter::{in_order, sorted};
use super::{activate, address, admission, check, health, row, split};
use crate::manifest::{
    Balance, Breaker, Endpoint, Lookup, Pool, Upstream, UpstreamProtocol, UpstreamTimeouts,
    UpstreamTls,
};
use crate::raw::{self, At, Named, TextOr};
use crate::report::Problem;
use crate::typed::{Refusal, Scene};

/// Upstreams as they are found, and the names that routes may use.
pub(super) struct Upstreams {
    pub(super) list: Vec<Upstream>,
    pub(super) names: Vec<String>,
}

/// `complete`: all that define one could be read.
pub(super) fn upstreams(
    raw: Option<At<Named<raw::Upstream>>>,
    complete: bool,
    scene: &mut Scene<'_>,
) -> Upstreams {
    let broken = raw.as_ref().map(|raw| raw.value.1.clone()).unwrap_or_default();
    let mut upstreams = Upstreams { list: Vec::new(), names: Vec::new() };
    let tables = sorted(raw);
    for (name, table) in &tables {
        scene.name(name, "upstream");
        upstreams.list.push(upstream(name, table, scene));
        upstreams.names.push(name.value.clone());
    }
    upstreams.names.extend(broken);
    for at in 0..tables.len() {
        split::split(at, &tables, complete, &mut upstreams, scene);
    }
    upstreams
}

fn upstream(name: &At<String>, table: &At<raw::Upstream>, scene: &mut Scene<'_>) -> Upstream {
    let raw = &table.value;
    let mut endpoints = Vec::new();
    let mut protocol = raw.protocol.as_ref().map(|at| at.value);
    if let Some(list) = &raw.endpoints {
        if list.is_empty() {
            scene.error(&list.place, "an upstream without endpoints", None);
        }
        for item in &list.value {
            let Some((endpoint, http)) = endpoint(item, scene) else { continue };
            spoken(&endpoint, http, &mut protocol, raw, scene);
            endpoints.push(endpoint);
        }
    }
    let protocol = protocol.unwrap_or(UpstreamProtocol::Auto);
    if protocol == UpstreamProtocol::Tcp {
        http_only(raw, scene);
    }
    if let Some(tls) = &raw.tls
        && !endpoints.is_empty()
        && !endpoints.iter().any(|endpoint| endpoint.tls)
    {
        let scheme = if protocol == UpstreamProtocol::Tcp { "tls" } else { "https" };
        scene.warning(&tls.key, format!("tls is set, but no endpoint is {scheme}"));
    }
    let activate = match (&raw.activate, &raw.scale) {
        (Some(activate), scale) => activate::activate(activate, scale.as_ref(), &endpoints, scene),
        (None, Some(scale)) if !raw.broken => {
            let hint = "`activate` says how an instance is started";
            scene.error(&scale.key, "there is nothing to scale", Some(hint.into()));
            None
        }
        _ => None,
    };
    let leads = raw.activate.is_some() || raw.split.is_some();
    if raw.endpoints.is_none() && !leads && !raw.broken {
        let hint =
            "endpoints: URLs: `[\"http://10.0.0.2:8080\"]`; or `activate`, to start an application";
        scene.error(&table.place, "an upstream without endpoints", Some(hint.into()));
    }
    if raw.activate.is_some() {
        if let Some(sought) = endpoints.iter().find(|endpoint| endpoint.is_sought()) {
            scene.error(&sought.place, "an application that is started has a `url`", None);
        }
        let keys = [
            ("health", raw.health.as_ref().map(|at| &at.key)),
            ("outlier", raw.outlier.as_ref().map(|at| &at.key)),
        ];
        scene.meaningless(&keys, "with activate, whose `ready` says when an instance is well");
    }
    let breaker = breaker(raw.breaker.as_ref(), scene);
    let http = protocol != UpstreamProtocol::Tcp;
    let admission = raw.admission.as_ref();
    Upstream {
        name: name.as_str().into(),
        place: table.place.clone(),
        endpoints,
        balance: raw.balance.as_ref().map_or(Balance::RoundRobin, |at| at.value.0.clone()),
        protocol,
        tls: tls(raw.tls.as_ref(), scene),
        pool: pool(raw.pool.as_ref(), scene),
        admission: admission.map(|at| admission::admission(at, breaker.max_requests, scene)),
        breaker,
        timeouts: timeouts(raw.timeouts.as_ref(), scene),
        health: raw.health.as_ref().map(|at| health::health(at, http, scene)),
        outlier: raw.outlier.as_ref().map(|at| health::outlier(at, scene)),
        split: None,
        activate: activate.map(Arc::new),
    }
}

/// An upstream speaks HTTP or does not: its first endpoint that says so, or its `protocol`, counts for
/// all of them.
fn spoken(
    endpoint: &Endpoint,
    http: Option<bool>,
    protocol: &mut Option<UpstreamProtocol>,
    raw: &raw::Upstream,
    scene: &mut Scene<'_>,
) {
    let Some(http) = http else { return };
    let own = if http { UpstreamProtocol::Auto } else { UpstreamProtocol::Tcp };
    let known = *protocol.get_or_insert(own);
    if http == (known == UpstreamProtocol::Tcp) {
        let message = match (&raw.protocol, http) {
            (None, _) => "an upstream's endpoints speak HTTP, or none does",
            (Some(_), true) => "this speaks HTTP, and `protocol` is \"tcp\"",
            (Some(_), false) => "this is for tcp, and `protocol` says HTTP",
        };
        let hint =
            "tcp:// and tls:// for connections as they are, http:// and https:// for requests";
        scene.error(&endpoint.place, message, Some(hint.to_owned()));
    }
}

/// Keys that say how exchanges are held mean nothing where there are none.
fn http_only(raw: &raw::Upstream, scene: &mut Scene<'_>) {
    let breaker = raw.breaker.as_ref().and_then(|at| at.max_requests.as_ref());
    let timeouts = raw.timeouts.as_ref();
    let keys = [
        ("pool", raw.pool.as_ref().map(|at| &at.key)),
        ("admission", raw.admission.as_ref().map(|at| &at.key)),
        ("breaker.max_requests", breaker.map(|at| &at.key)),
        ("timeouts.first_byte", timeouts.and_then(|t| t.first_byte.as_ref()).map(|at| &at.key)),
        ("timeouts.idle", timeouts.and_then(|t| t.idle.as_ref()).map(|at| &at.key)),
    ];
    scene.meaningless(&keys, "for tcp");
}

/// An endpoint, and whether it says that HTTP is spoken there.
fn endpoint(
    item: &At<TextOr<raw::Endpoint>>,
    scene: &mut Scene<'_>,
) -> Option<(Endpoint, Option<bool>)> {
    let mut lookup = Lookup::Connect;
    let (url, weight) = match &item.value {
        TextOr::Text(text) => {
            let text = At { value: text.clone(), place: item.place.clone(), key: item.key.clone() };
            (address::endpoint(&text, scene), None)
        }
        TextOr::Other(table) => {
            one_place(item, table, scene);
            if let Some((name, found)) = sought(table, scene) {
                lookup = found;
                let tls = table.tls.as_ref().is_some_and(|tls| tls.value);
                let url = name.map(|(host, port)| address::Url {
                    http: None,
                    tls,
                    host,
                    port,
                    unix: None,
                });
                (url, table.weight.as_ref())
            } else {
                let mut url = table.url.as_ref().and_then(|url| address::endpoint(url, scene));
                if let (Some(url), Some(tls)) = (&mut url, &table.tls) {
                    over_unix(url, tls, scene);
                }
                (url, table.weight.as_ref())
            }
        }
    };
    let weight = u32::try_from(scene.whole(weight, &row::WEIGHT)).unwrap_or(u32::MAX);
    let address::Url { http, tls, host, port, unix } = url?;
    Some((Endpoint { place: item.place.clone(), tls, host, port, unix, weight, lookup }, http))
}

/// Exactly one of three.
fn one_place(item: &At<TextOr<raw::Endpoint>>, table: &raw::Endpoint, scene: &mut Scene<'_>) {
    let keys = [&table.url, &table.dns, &table.srv];
    let mut keys = keys.into_iter().flatten().map(|at| &at.key);
    match (keys.next(), keys.next()) {
        (None, _) if !table.broken => {
            let hint = "one of url, dns and srv".to_owned();
            scene.error(&item.place, "an endpoint without its place", Some(hint));
        }
        (Some(first), Some(second)) => {
            let (first, second) = in_order(first, second);
            let problem = Problem::error(second, "an endpoint has one place");
            scene.report.push(problem.also("it is said here", first));
        }
        _ => {}
    }
}

/// A name that stands for endpoints, if it is one, with its port.
fn sought(table: &raw::Endpoint, scene: &mut Scene<'_>) -> Option<(Option<(String, u16)>, Lookup)> {
    if let Some(dns) = &table.dns {
        let named = match address::authority(dns, None) {
            Ok((host, _)) if host.parse::<std::net::IpAddr>().is_ok() => {
                let hint = "an address is a `url`: \"http://10.0.0.2:8080\"";
                Err(Refusal::new(format!("{:?} is not a name", dns.value), hint))
            }
            Ok(named) => Ok(named),
            Err(_) => {
                let hint = "such as \"app.internal:8080\"";
                Err(Refusal::new(format!("{:?} is not a name with a port", dns.value), hint))
            }
        };
        return Some((scene.accept(&dns.place, named), Lookup::Dns));
    }
    let srv = table.srv.as_ref()?;
    let name = scene.accept(&srv.place, check::service(srv).map(|()| srv.to_ascii_lowercase()));
    Some((name.map(|name| (name, 0)), Lookup::Srv))
}

/// Only a Unix socket has no scheme that says whether TLS is spoken.
fn over_unix(url: &mut address::Url, tls: &At<bool>, scene: &mut Scene<'_>) {
    if url.unix.is_some() {
        url.tls = tls.value;
    } else if url.tls != tls.value {
        let hint = "`https://` or `http://` in `url` says it; `tls` is for Unix sockets".to_owned();
        scene.error(&tls.place, "this contradicts the url", Some(hint));
    }
}

fn tls(raw: Option<&At<raw::UpstreamTls>>, scene: &mut Scene<'_>) -> UpstreamTls {
    let none = raw::UpstreamTls::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    scene.pair(raw.certificate.as_ref(), raw.key.as_ref(), raw.broken);
    let verify = raw.verify.as_ref().is_none_or(|on| on.value);
    if let (Some(verify_at), Some(ca), false) = (&raw.verify, &raw.ca, verify) {
        let (first, _) = in_order(&verify_at.key, &ca.key);
        scene.warning(first, "with verify = false, ca has no meaning");
    }
    if let Some(name) = raw.server_name.as_ref().filter(|name| !check::is_host(name)) {
        scene.error(&name.place, format!("{:?} is not a host name", name.value), None);
    }
    let mut file =
        |path: &Option<At<String>>, what| path.as_ref().map(|path| scene.file(path, what));
    UpstreamTls {
        ca: file(&raw.ca, "the authorities"),
        server_name: raw.server_name.as_ref().map(|name| name.to_ascii_lowercase()),
        certificate: file(&raw.certificate, "the certificate"),
        key: file(&raw.key, "the key"),
        verify,
    }
}

fn pool(raw: Option<&At<raw::Pool>>, scene: &mut Scene<'_>) -> Pool {
    let none = raw::Pool::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    Pool {
        idle: scene.time(raw.idle.as_ref(), &row::POOL_IDLE),
        per_endpoint: scene.usize(raw.per_endpoint.as_ref(), &row::PER_ENDPOINT),
    }
}

fn breaker(raw: Option<&At<raw::Breaker>>, scene: &mut Scene<'_>) -> Breaker {
    let none = raw::Breaker::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    Breaker {
        max_connections: scene.usize(raw.max_connections.as_ref(), &row::MAX_CONNECTIONS),
        max_requests: scene.usize(raw.max_requests.as_ref(), &row::MAX_REQUESTS),
        max_pending: scene.usize(raw.max_pending.as_ref(), &row::MAX_PENDING),
    }
}

fn timeouts(raw: Option<&At<raw::UpstreamTimeouts>>, scene: &mut Scene<'_>) -> UpstreamTimeouts {
    let none = raw::UpstreamTimeouts::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    UpstreamTimeouts {
        connect: scene.time(raw.connect.as_ref(), &row::CONNECT),
        first_byte: scene.time(raw.first_byte.as_ref(), &row::FIRST_BYTE),
        idle: scene.time(raw.idle.as_ref(), &row::IDLE),
    }
}
