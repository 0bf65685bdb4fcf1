//! Attributes of an exchange, in Envoy's encoding: text as it is, numbers as 8 bytes little
//! endian, truth as one byte, times as nanoseconds, maps as header maps.

use std::net::{IpAddr, SocketAddr};

use pilotlight_abi::Value;
use pilotlight_filter::{Exchange, Version};

use super::abi::map;
use super::fields;

/// Copies the property at `path` (segments joined by NUL) to `out`; false when there is none.
///
/// What filters have set goes before what the gateway knows.
pub(crate) fn get(exchange: &mut Exchange, path: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(name) = dotted(path) else { return false };
    if !exchange.properties.is_empty() {
        let plain = name.strip_prefix("filter_state.").unwrap_or(&name);
        let bare = plain.strip_prefix("wasm.").unwrap_or(plain);
        for name in [&name, plain, bare] {
            if let Some(value) = exchange.property(name) {
                encode(value, out);
                return true;
            }
        }
    }
    match name.split_once('.') {
        Some(("request", rest)) => request(exchange, rest, out),
        Some(("response", rest)) => response(exchange, rest, out),
        Some(("connection", rest)) => connection(exchange, rest, out),
        Some(("source", rest)) => {
            let (address, port) = (exchange.peer.address, exchange.peer.port);
            place(SocketAddr::new(address, port), rest, out)
        }
        Some(("destination", rest)) => match exchange.peer.local {
            Some(local) => place(local, rest, out),
            None => false,
        },
        None => single(exchange, &name, out),
        Some(_) => false,
    }
}

/// Sets a property of the filters' own.
pub(crate) fn set(exchange: &mut Exchange, path: &[u8], value: &[u8]) -> bool {
    match dotted(path) {
        Some(name) => exchange.set_property(&name, Value::Bytes(value.to_vec())),
        None => false,
    }
}

/// `a\0b\0c` (some SDKs end it with a NUL) as `a.b.c`.
fn dotted(path: &[u8]) -> Option<String> {
    let path = path.strip_suffix(b"\0").unwrap_or(path);
    let text = std::str::from_utf8(path).ok()?;
    (!text.is_empty() && text.len() <= 1024).then(|| text.replace('\0', "."))
}

fn single(exchange: &mut Exchange, name: &str, out: &mut Vec<u8>) -> bool {
    match name {
        "route_name" => text(&exchange.route.clone(), out),
        "cluster_name" => match exchange.upstream.clone() {
            Some(upstream) => text(&upstream, out),
            None => false,
        },
        "x_request_id" => text(&exchange.id.clone(), out),
        "listener_name" => text(&exchange.peer.listener.clone(), out),
        _ => false,
    }
}

fn request(exchange: &mut Exchange, name: &str, out: &mut Vec<u8>) -> bool {
    if let Some(header) = name.strip_prefix("headers.") {
        return is_ok(fields::get(exchange, map::REQUEST_HEADERS, header.as_bytes(), out));
    }
    let head = &exchange.request.head;
    let field = |name: &[u8], out: &mut Vec<u8>| match head.fields.get(name) {
        Some(value) => bytes(value, out),
        None => false,
    };
    match name {
        "path" => {
            fields::target(exchange, out);
            true
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
        "time" => number((exchange.stats.started * 1e9) as u64, out),
        "duration" if exchange.stats.duration > 0.0 => {
            number((exchange.stats.duration * 1e9) as u64, out)
        }
        "size" | "total_size" => number(exchange.stats.received, out),
        "headers" => is_ok(fields::pairs(exchange, map::REQUEST_HEADERS, out)),
        _ => false,
    }
}

fn response(exchange: &mut Exchange, name: &str, out: &mut Vec<u8>) -> bool {
    if exchange.response.origin.is_none() {
        return false;
    }
    if let Some(header) = name.strip_prefix("headers.") {
        return is_ok(fields::get(exchange, map::RESPONSE_HEADERS, header.as_bytes(), out));
    }
    match name {
        "code" => number(u64::from(exchange.response.head.status), out),
        "code_details" => match exchange.response.origin {
            Some(origin) => text(origin.name(), out),
            None => false,
        },
        "flags" => number(0, out),
        "grpc_status" => match exchange.response.head.fields.get(b"grpc-status") {
            Some(status) => match std::str::from_utf8(status).ok().and_then(|s| s.parse().ok()) {
                Some(status) => number(status, out),
                None => false,
            },
            None => false,
        },
        "size" | "total_size" => number(exchange.stats.sent, out),
        "headers" => is_ok(fields::pairs(exchange, map::RESPONSE_HEADERS, out)),
        "trailers" => is_ok(fields::pairs(exchange, map::RESPONSE_TRAILERS, out)),
        _ => false,
    }
}

fn connection(exchange: &Exchange, name: &str, out: &mut Vec<u8>) -> bool {
    let tls = exchange.peer.tls.as_ref();
    let client = tls.and_then(|tls| tls.client.as_ref());
    match name {
        "id" => number(exchange.serial, out),
        "mtls" => {
            out.push(u8::from(client.is_some()));
            true
        }
        "requested_server_name" => optional(tls.and_then(|tls| tls.server_name.as_deref()), out),
        "tls_version" => tls.is_some_and(|tls| text("TLSv", out) && text(tls.version, out)),
        "subject_peer_certificate" => optional(client.map(|c| &*c.subject), out),
        "sha256_peer_certificate_digest" => optional(client.map(|c| &*c.fingerprint), out),
        "uri_san_peer_certificate" => optional(san(exchange, true), out),
        "dns_san_peer_certificate" => optional(san(exchange, false), out),
        _ => false,
    }
}

fn san(exchange: &Exchange, uri: bool) -> Option<&str> {
    let client = exchange.peer.tls.as_ref()?.client.as_ref()?;
    client.san.iter().map(|name| &**name).find(|name| name.contains("://") == uri)
}

/// Envoy's `source.address` has the port in it.
fn place(at: SocketAddr, name: &str, out: &mut Vec<u8>) -> bool {
    match (name, at.ip()) {
        ("address", IpAddr::V4(ip)) if ip.is_unspecified() && at.port() == 0 => false,
        ("address", _) => text(&at.to_string(), out),
        ("port", _) => number(u64::from(at.port()), out),
        _ => false,
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

fn is_ok(status: super::abi::Status) -> bool {
    status == super::abi::Status::Ok
}

fn bytes(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value);
    true
}

fn text(value: &str, out: &mut Vec<u8>) -> bool {
    bytes(value.as_bytes(), out)
}

fn optional(value: Option<&str>, out: &mut Vec<u8>) -> bool {
    value.is_some_and(|value| text(value, out))
}

fn number(value: u64, out: &mut Vec<u8>) -> bool {
    bytes(&value.to_le_bytes(), out)
}
