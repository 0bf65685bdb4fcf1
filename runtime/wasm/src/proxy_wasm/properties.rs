//! Attributes of an exchange, in Envoy's encoding: text as it is, numbers as 8 bytes little
//! endian, truth as one byte, times as nanoseconds, maps as header maps.

use std::net::{IpAddr, SocketAddr};

use pilotlight_abi::Value;
use pilotlight_filter::exchange::Identity;
use pilotlight_filter::{Exchange, Version};

use super::abi::{Status, map};
use super::fields;
use crate::host::Host;

/// What a property is: modules that want text get it by this.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Absent,
    /// As it is: text, maps, what filters have set.
    Bytes,
    Number,
    Truth,
    /// An address with its port.
    Address,
}

/// Bytes of a property that a filter sets, at most.
const VALUE_MAX: usize = 64 << 10;
/// Fields that filters add to an exchange's log line by `log.NAME`, at most.
const LOG_MAX: usize = 64;

/// By this filters say which upstream a connection without HTTP goes to, as in Envoy.
const CLUSTER: &str = "envoy.tcp_proxy.cluster";

/// Copies the property at `path` (segments joined by NUL) to `out`.
pub(crate) fn find(host: &Host, path: &[u8], out: &mut Vec<u8>) -> Status {
    let Some(name) = dotted(path) else { return Status::BadArgument };
    let is = match plugin(host, &name, out) {
        Is::Absent => {
            let now = host.services.now();
            host.with(|exchange| get(exchange, &name, now, out)).unwrap_or(Is::Absent)
        }
        is => is,
    };
    if is == Is::Absent {
        return Status::NotFound;
    }
    if host.proxy.program.as_ref().is_some_and(|program| program.text) {
        as_text(is, out);
    }
    Status::Ok
}

/// What is known without an exchange.
fn plugin(host: &Host, name: &str, out: &mut Vec<u8>) -> Is {
    let Some(program) = &host.proxy.program else { return Is::Absent };
    match name {
        "plugin_name" => text(&program.name, out),
        "plugin_vm_id" => text(program.space.id(), out),
        "plugin_root_id" => text(&program.root_id, out),
        "plugin_vm_memory" => {
            let size = host.limits.held();
            number(size, out)
        }
        // Traffic comes in: Envoy's INBOUND.
        "listener_direction" | "xds.listener_direction" => number(1, out),
        _ => Is::Absent,
    }
}

/// ngx_wasm_module's way: numbers in decimal, addresses without their port.
fn as_text(is: Is, out: &mut Vec<u8>) {
    match is {
        Is::Number => {
            let number = out.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            *out = number.to_string().into_bytes();
        }
        Is::Truth => *out = if out[..] == [1] { b"true".to_vec() } else { b"false".to_vec() },
        Is::Address => {
            if let Some(colon) = out.iter().rposition(|byte| *byte == b':') {
                out.truncate(colon);
            }
        }
        Is::Absent | Is::Bytes => {}
    }
}

/// What filters have set goes before what the gateway knows.
fn get(exchange: &mut Exchange, name: &str, now: f64, out: &mut Vec<u8>) -> Is {
    if !exchange.properties.is_empty() {
        let plain = name.strip_prefix("filter_state.").unwrap_or(name);
        let bare = plain.strip_prefix("wasm.").unwrap_or(plain);
        for name in [name, plain, bare] {
            if let Some(value) = exchange.property(name) {
                encode(value, out);
                return Is::Bytes;
            }
        }
    }
    match name.split_once('.') {
        Some(("request" | "response", _)) if exchange.flow.is_some() => Is::Absent,
        Some(("request", rest)) => request(exchange, rest, now, out),
        Some(("response", rest)) => response(exchange, rest, out),
        Some(("connection", rest)) => connection(exchange, rest, out),
        Some(("upstream", rest)) => upstream(exchange, rest, out),
        Some(("source", rest)) => {
            let (address, port) = (exchange.peer.address, exchange.peer.port);
            place(SocketAddr::new(address, port), rest, out)
        }
        Some(("destination", rest)) => match exchange.peer.local {
            Some(local) => place(local, rest, out),
            None => Is::Absent,
        },
        Some(("xds", rest)) => single(exchange, rest, out),
        None => single(exchange, name, out),
        Some(_) => Is::Absent,
    }
}

/// Sets a property of the filters' own; `log.NAME` is a field of the access log.
pub(crate) fn set(exchange: &mut Exchange, path: &[u8], value: &[u8]) -> bool {
    let Some(name) = dotted(path).filter(|_| value.len() <= VALUE_MAX) else { return false };
    let Some(field) = name.strip_prefix("log.") else {
        if name == CLUSTER
            && exchange.flow.is_some()
            && let Ok(upstream) = std::str::from_utf8(value)
        {
            exchange.upstream = Some(upstream.into());
        }
        return exchange.set_property(&name, Value::Bytes(value.to_vec()));
    };
    exchange.log.retain(|(known, _)| &**known != field);
    let room = exchange.log.len() < LOG_MAX;
    if room {
        exchange.log.push((field.into(), Value::Bytes(value.to_vec())));
    }
    room
}

/// `a\0b\0c` (some SDKs end it with a NUL) as `a.b.c`.
fn dotted(path: &[u8]) -> Option<String> {
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    let text = std::str::from_utf8(path).ok()?;
    (!text.is_empty() && text.len() <= 1024).then(|| text.replace('\0', "."))
}

fn single(exchange: &mut Exchange, name: &str, out: &mut Vec<u8>) -> Is {
    match name {
        "route_name" => text(&exchange.route, out),
        "cluster_name" => optional(exchange.upstream.as_deref(), out),
        "x_request_id" => text(&exchange.id, out),
        "listener_name" => text(&exchange.peer.listener, out),
        "connection_id" => number(exchange.peer.number, out),
        _ => Is::Absent,
    }
}

fn request(exchange: &mut Exchange, name: &str, now: f64, out: &mut Vec<u8>) -> Is {
    if let Some(header) = name.strip_prefix("headers.") {
        return copied(fields::get(exchange, map::REQUEST_HEADERS, header.as_bytes(), out));
    }
    let head = &exchange.request.head;
    let field = |name: &[u8], out: &mut Vec<u8>| match head.fields.get(name) {
        Some(value) => bytes(value, out),
        None => Is::Absent,
    };
    let size = exchange.request.body.received();
    match name {
        "path" => {
            fields::target(exchange, out);
            Is::Bytes
        }
        "url_path" => bytes(head.path(), out),
        "query" => bytes(head.query().unwrap_or_default(), out),
        "host" => bytes(head.authority(), out),
        "scheme" => text(head.scheme.text(), out),
        "method" => bytes(head.method_text(), out),
        "protocol" => text(protocol(head.version), out),
        "referer" => field(b"referer", out),
        "useragent" => field(b"user-agent", out),
        "id" => text(&exchange.id, out),
        "time" => nanoseconds(exchange.stats.started, out),
        "duration" if exchange.stats.duration > 0.0 => nanoseconds(exchange.stats.duration, out),
        "duration" => nanoseconds((now - exchange.stats.started).max(0.0), out),
        "size" => number(size, out),
        "total_size" => {
            let fields = fields::size(exchange, map::REQUEST_HEADERS).unwrap_or(0);
            number(size + u64::from(fields), out)
        }
        "headers" => copied(fields::pairs(exchange, map::REQUEST_HEADERS, out)),
        _ => Is::Absent,
    }
}

fn response(exchange: &mut Exchange, name: &str, out: &mut Vec<u8>) -> Is {
    let Some(origin) = exchange.response.origin else { return Is::Absent };
    if let Some(header) = name.strip_prefix("headers.") {
        return copied(fields::get(exchange, map::RESPONSE_HEADERS, header.as_bytes(), out));
    }
    if let Some(trailer) = name.strip_prefix("trailers.") {
        return copied(fields::get(exchange, map::RESPONSE_TRAILERS, trailer.as_bytes(), out));
    }
    match name {
        "code" => number(u64::from(exchange.response.head.status), out),
        "code_details" => text(origin.name(), out),
        "flags" => number(0, out),
        "grpc_status" => {
            let trailers = exchange.response.body.trailers();
            let trailer = trailers.and_then(|trailers| trailers.get(b"grpc-status"));
            let status = trailer.or_else(|| exchange.response.head.fields.get(b"grpc-status"));
            let status = status.and_then(|status| std::str::from_utf8(status).ok());
            match status.and_then(|status| status.parse().ok()) {
                Some(status) => number(status, out),
                None => Is::Absent,
            }
        }
        "size" => number(exchange.stats.sent, out),
        "total_size" => number(exchange.stats.sent + exchange.stats.head, out),
        "backend_latency" if exchange.stats.upstream > 0.0 => {
            nanoseconds(exchange.stats.upstream, out)
        }
        "headers" => copied(fields::pairs(exchange, map::RESPONSE_HEADERS, out)),
        "trailers" => copied(fields::pairs(exchange, map::RESPONSE_TRAILERS, out)),
        _ => Is::Absent,
    }
}

fn connection(exchange: &Exchange, name: &str, out: &mut Vec<u8>) -> Is {
    let tls = exchange.peer.tls.as_ref();
    let client = tls.and_then(|tls| tls.client.as_ref());
    match name {
        "id" => number(exchange.peer.number, out),
        "mtls" => {
            out.push(u8::from(client.is_some()));
            Is::Truth
        }
        "requested_server_name" => optional(tls.and_then(|tls| tls.server_name.as_deref()), out),
        _ => {
            let Some(tls) = tls else { return Is::Absent };
            match name.strip_suffix("_local_certificate") {
                Some(name) => {
                    let shown = tls.shown.as_ref();
                    let own = shown.and_then(|s| s.identity(tls.server_name.as_deref()));
                    certificate(own.as_ref(), name, out)
                }
                None => secured(tls.version, client, name, out),
            }
        }
    }
}

/// What TLS has told of the other side.
fn secured(version: &str, peer: Option<&Identity>, name: &str, out: &mut Vec<u8>) -> Is {
    match name.strip_suffix("_peer_certificate") {
        Some(name) => certificate(peer, name, out),
        None if name == "tls_version" => text(&format!("TLSv{version}"), out),
        None if name == "sha256_peer_certificate_digest" => {
            optional(peer.map(|peer| &*peer.fingerprint), out)
        }
        None => Is::Absent,
    }
}

fn certificate(of: Option<&Identity>, name: &str, out: &mut Vec<u8>) -> Is {
    let Some(of) = of else { return Is::Absent };
    let uri = match name {
        "subject" => return text(&of.subject, out),
        "uri_san" => true,
        "dns_san" => false,
        _ => return Is::Absent,
    };
    // Addresses are among them, too.
    let mut san = of.san.iter().filter(|name| name.parse::<IpAddr>().is_err());
    optional(san.find(|name| name.contains(':') == uri).map(|name| &**name), out)
}

/// Of the server that was asked last.
fn upstream(exchange: &Exchange, name: &str, out: &mut Vec<u8>) -> Is {
    let Some(server) = &exchange.server else { return Is::Absent };
    let address = &*server.address;
    match name {
        "address" if address.contains(':') => {
            text(address, out);
            Is::Address
        }
        "address" => text(address, out),
        "port" => match address.rsplit(':').next().and_then(|port| port.parse().ok()) {
            Some(port) => number(port, out),
            None => Is::Absent,
        },
        "request_attempt_count" => number(u64::from(exchange.stats.retries) + 1, out),
        "cx_pool_ready_duration" => nanoseconds(exchange.stats.connect, out),
        "transport_failure_reason" => text(server.failure, out),
        _ => {
            let Some(link) = &server.link else { return Is::Absent };
            match (name, link.local, link.tls) {
                ("local_address", Some(local), _) => place(local, "address", out),
                (_, _, Some(version)) => {
                    let peer = link.shown.as_ref().and_then(|shown| shown.identity(None));
                    secured(version, peer.as_ref(), name, out)
                }
                _ => Is::Absent,
            }
        }
    }
}

/// Envoy's `source.address` has the port in it.
fn place(at: SocketAddr, name: &str, out: &mut Vec<u8>) -> Is {
    match (name, at.ip()) {
        ("address", IpAddr::V4(ip)) if ip.is_unspecified() && at.port() == 0 => Is::Absent,
        ("address", _) => {
            text(&at.to_string(), out);
            Is::Address
        }
        ("port", _) => number(u64::from(at.port()), out),
        _ => Is::Absent,
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
        Version::Http3 => "HTTP/3",
    }
}

/// A value that a filter has left, of whichever engine.
fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Nil => {}
        Value::Bool(truth) => out.push(u8::from(*truth)),
        Value::Int(whole) => out.extend_from_slice(&whole.to_le_bytes()),
        Value::Uint(whole) => out.extend_from_slice(&whole.to_le_bytes()),
        Value::Float(fraction) => out.extend_from_slice(&fraction.to_le_bytes()),
        Value::Bytes(text) => out.extend_from_slice(text),
        Value::List(list) => {
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                encode(value, out);
            }
        }
        Value::Map(named) => {
            let pairs: Vec<(&str, Vec<u8>)> = named
                .iter()
                .map(|(name, value)| {
                    let mut text = Vec::new();
                    encode(value, &mut text);
                    (name.as_str(), text)
                })
                .collect();
            super::maps::encode(pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())), out);
        }
    }
}

fn copied(status: Status) -> Is {
    if status == Status::Ok { Is::Bytes } else { Is::Absent }
}

fn bytes(value: &[u8], out: &mut Vec<u8>) -> Is {
    out.extend_from_slice(value);
    Is::Bytes
}

fn text(value: &str, out: &mut Vec<u8>) -> Is {
    bytes(value.as_bytes(), out)
}

fn optional(value: Option<&str>, out: &mut Vec<u8>) -> Is {
    value.map_or(Is::Absent, |value| text(value, out))
}

fn number(value: u64, out: &mut Vec<u8>) -> Is {
    bytes(&value.to_le_bytes(), out);
    Is::Number
}

fn nanoseconds(seconds: f64, out: &mut Vec<u8>) -> Is {
    number((seconds * 1e9) as u64, out)
}
