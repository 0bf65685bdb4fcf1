//! `[[listeners]]`.

use std::path::PathBuf;

use super::route::Names;
use super::{address, row};
use crate::manifest::{Address, KeyPair, Listener, ListenerLimits, ListenerTimeouts, ServerTls};
use crate::raw::{self, At, Protocol};
use crate::report::Problem;
use crate::typed::Scene;

pub(super) fn listeners(
    raw: Option<At<Vec<At<raw::Listener>>>>,
    admin: Option<&Address>,
    names: &Names<'_>,
    scene: &mut Scene<'_>,
) -> Vec<Listener> {
    let raw = raw.map(|list| list.value).unwrap_or_default();
    let mut list: Vec<(Listener, &At<raw::Listener>)> = Vec::with_capacity(raw.len());
    for table in &raw {
        let Some(listener) = listener(table, names, scene) else { continue };
        for (other, other_table) in &list {
            twice(&listener, table, other, other_table, scene);
        }
        if Some(&listener.address) == admin.filter(|address| fixed(address)) {
            let place = table.address.as_ref().map_or(&table.place, |address| &address.place);
            scene.error(place, "the admin interface has the same address", None);
        }
        list.push((listener, table));
    }
    list.into_iter().map(|(listener, _)| listener).collect()
}

/// The names of all, and of those for tcp.
pub(super) fn names(listeners: &[Listener]) -> (Vec<String>, Vec<String>) {
    let name = |listener: &Listener| listener.name.to_string();
    let tcp = listeners.iter().filter(|listener| listener.tcp.is_some());
    (listeners.iter().map(name).collect(), tcp.map(name).collect())
}

/// Port 0 is any free port: a different one each time.
fn fixed(address: &Address) -> bool {
    !matches!(address, Address::Tcp(address) if address.port() == 0)
}

fn twice(
    listener: &Listener,
    table: &At<raw::Listener>,
    other: &Listener,
    other_table: &At<raw::Listener>,
    scene: &mut Scene<'_>,
) {
    let mut report = |what: String, place: &crate::Place, first: &crate::Place| {
        scene.report.push(Problem::error(place, what).also("the first one is here", first));
    };
    if listener.address == other.address && fixed(&listener.address) {
        if let (Some(here), Some(first)) = (&table.address, &other_table.address) {
            let what = format!("two listeners have the address {:?}", here.value);
            report(what, &here.place, &first.place);
        }
    } else if listener.name == other.name {
        let place = |table: &At<raw::Listener>| {
            table.name.as_ref().or(table.address.as_ref()).map(|text| text.place.clone())
        };
        if let (Some(here), Some(first)) = (place(table), place(other_table)) {
            report(format!("two listeners have the name {:?}", &*listener.name), &here, &first);
        }
    }
}

fn listener(
    table: &At<raw::Listener>,
    names: &Names<'_>,
    scene: &mut Scene<'_>,
) -> Option<Listener> {
    let raw = &table.value;
    if let Some(name) = &raw.name {
        scene.name(name, "listener");
    }
    let tls = tls(raw, scene);
    let has_tls = raw.tls.is_some() || raw.broken;
    let (http1, http2, http3) = protocols(raw, has_tls, scene);
    let tcp = match is_tcp(raw) {
        true => tcp(raw, names, scene),
        false => http(raw, names, scene),
    };
    let limits = limits(raw.limits.as_ref(), scene);
    let timeouts = timeouts(raw.timeouts.as_ref(), scene);
    let filters = names.chain(raw.filters.as_ref(), scene);
    let text = raw.address.as_ref()?;
    let address = address::listen(text, scene)?;
    if let (true, Address::Unix(_)) = (http3, &address) {
        scene.error(&text.place, "http3 needs a UDP port, not a Unix socket", None);
    }
    let proxy_protocol = raw.proxy_protocol.as_ref().is_some_and(|on| on.value);
    if let (true, true, Some(on)) = (http3, proxy_protocol, &raw.proxy_protocol) {
        scene.error(&on.place, "the PROXY protocol does not exist for http3", None);
    }
    Some(Listener {
        name: raw.name.as_ref().unwrap_or(text).as_str().into(),
        place: table.place.clone(),
        address,
        http1,
        http2,
        http3,
        tcp,
        tls,
        proxy_protocol,
        filters: filters.into_iter().map(|(index, _)| index).collect(),
        limits,
        timeouts,
    })
}

fn protocols(raw: &raw::Listener, has_tls: bool, scene: &mut Scene<'_>) -> (bool, bool, bool) {
    let Some(list) = &raw.protocols else { return (true, true, false) };
    if list.is_empty() && !raw.broken {
        let hint = "leave it out for HTTP/1 and HTTP/2".to_owned();
        scene.error(&list.place, "a listener without protocols", Some(hint));
    }
    let find = |protocol| list.iter().find(|item| item.value == protocol);
    for (at, item) in list.iter().enumerate() {
        if list[..at].iter().any(|other| other.value == item.value) {
            scene.warning(&item.place, "the protocol is listed twice");
        }
    }
    if let (Some(http3), false) = (find(Protocol::Http3), has_tls) {
        let hint = "tls = { certificate = \"edge.pem\", key = \"edge.key\" }".to_owned();
        scene.error(&http3.place, "http3 needs tls", Some(hint));
    }
    let on = |protocol| find(protocol).is_some();
    (on(Protocol::Http1), on(Protocol::Http2), on(Protocol::Http3))
}

fn is_tcp(raw: &raw::Listener) -> bool {
    let mut listed = raw.protocols.iter().flat_map(|list| &list.value);
    listed.any(|item| item.value == Protocol::Tcp)
}

/// Connections as they are: the upstream that they go to.
fn tcp(raw: &raw::Listener, names: &Names<'_>, scene: &mut Scene<'_>) -> Option<usize> {
    let listed = raw.protocols.iter().flat_map(|list| &list.value);
    for other in listed.filter(|item| item.value != Protocol::Tcp) {
        let hint = "give tcp a listener of its own, on another port".to_owned();
        scene.error(&other.place, "tcp stands alone among protocols", Some(hint));
    }
    let limits = raw.limits.as_ref();
    let timeouts = raw.timeouts.as_ref();
    macro_rules! keys {
        ($($table:ident.$key:ident),*) => {
            [$((
                concat!(stringify!($table), ".", stringify!($key)),
                $table.and_then(|table| table.$key.as_ref()).map(|at| &at.key),
            )),*]
        };
    }
    let keys = keys![
        limits.header_bytes,
        limits.headers,
        limits.uri_bytes,
        limits.body_bytes,
        limits.streams,
        timeouts.header,
        timeouts.body_idle,
        timeouts.keepalive
    ];
    scene.meaningless(&keys, "for tcp");
    for name in raw.filters.iter().flat_map(|list| &list.value) {
        if names.scripts.contains(&name.value) {
            let message = format!("filter {:?} can't see the bytes of a connection", name.value);
            let hint = "proxy-wasm modules can: a filter with `wasm`".to_owned();
            scene.error(&name.place, message, Some(hint));
        }
    }
    match &raw.upstream {
        Some(name) => names.upstream(name, true, scene).or(Some(0)),
        None => {
            if let (Some(list), false) = (&raw.protocols, raw.broken) {
                let hint = "upstream = \"NAME\", one of [upstreams]".to_owned();
                scene.error(&list.key, "tcp needs an upstream", Some(hint));
            }
            Some(0)
        }
    }
}

/// What belongs to listeners for tcp alone.
fn http(raw: &raw::Listener, names: &Names<'_>, scene: &mut Scene<'_>) -> Option<usize> {
    for name in raw.filters.iter().flat_map(|list| &list.value) {
        if names.shipped.contains(&name.value) {
            let message = format!("filter {:?} sees requests, not connections", name.value);
            let hint = "it belongs into the `filters` of routes".to_owned();
            scene.error(&name.place, message, Some(hint));
        }
    }
    if let Some(name) = &raw.upstream {
        let hint = "protocols = [\"tcp\"]; requests go to the `upstream` of a route".to_owned();
        scene.error(&name.key, "upstream is for tcp", Some(hint));
    }
    let idle = raw.timeouts.as_ref().and_then(|timeouts| timeouts.idle.as_ref());
    scene.meaningless(&[("timeouts.idle", idle.map(|at| &at.key))], "without tcp");
    None
}

fn tls(raw: &raw::Listener, scene: &mut Scene<'_>) -> Option<ServerTls> {
    let client_ca = raw.client_ca.as_ref().map(|path| {
        if raw.tls.is_none() && !raw.broken {
            scene.error(&path.key, "client_ca needs tls", None);
        }
        scene.file(path, "the authorities")
    });
    if let (Some(on), None, false) = (&raw.session_tickets, &raw.tls, raw.broken) {
        scene.error(&on.key, "session_tickets needs tls", None);
    }
    let tls = raw.tls.as_ref()?;
    if tls.value.0.is_empty() {
        scene.error(&tls.place, "tls without a certificate", None);
    }
    let certificates: Vec<_> =
        tls.value.0.iter().filter_map(|pair| key_pair(pair, scene)).collect();
    let early = |pair: &At<raw::ServerTls>| pair.early_data.as_ref().is_some_and(|on| on.value);
    let tickets = raw.session_tickets.as_ref().is_none_or(|on| on.value);
    let early_data = tls.value.0.iter().any(early);
    Some(ServerTls { certificates, client_ca, tickets, early_data })
}

fn key_pair(pair: &At<raw::ServerTls>, scene: &mut Scene<'_>) -> Option<KeyPair> {
    let file = |path: &Option<At<String>>, what, scene: &mut Scene<'_>| -> Option<PathBuf> {
        path.as_ref().map(|path| scene.file(path, what))
    };
    let certificate = file(&pair.value.certificate, "the certificate", scene);
    let key = file(&pair.value.key, "the key", scene);
    Some(KeyPair { place: pair.place.clone(), certificate: certificate?, key: key? })
}

fn limits(raw: Option<&At<raw::ListenerLimits>>, scene: &mut Scene<'_>) -> ListenerLimits {
    let none = raw::ListenerLimits::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    ListenerLimits {
        header_bytes: bytes(scene.size(raw.header_bytes.as_ref(), &row::HEADER_BYTES)),
        headers: scene.usize(raw.headers.as_ref(), &row::HEADERS),
        uri_bytes: bytes(scene.size(raw.uri_bytes.as_ref(), &row::URI_BYTES)),
        body_bytes: scene.size(raw.body_bytes.as_ref(), &row::BODY_BYTES),
        streams: u32::try_from(scene.whole(raw.streams.as_ref(), &row::STREAMS))
            .unwrap_or(u32::MAX),
        connections: scene.usize(raw.connections.as_ref(), &row::CONNECTIONS),
    }
}

fn timeouts(raw: Option<&At<raw::ListenerTimeouts>>, scene: &mut Scene<'_>) -> ListenerTimeouts {
    let none = raw::ListenerTimeouts::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    ListenerTimeouts {
        header: scene.time(raw.header.as_ref(), &row::HEADER),
        body_idle: scene.time(raw.body_idle.as_ref(), &row::BODY_IDLE),
        keepalive: scene.time(raw.keepalive.as_ref(), &row::KEEPALIVE),
        handshake: scene.time(raw.handshake.as_ref(), &row::HANDSHAKE),
        idle: scene.time(raw.idle.as_ref(), &row::TCP_IDLE),
    }
}
