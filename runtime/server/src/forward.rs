//! What a message gains and loses at this hop: hop-by-hop fields (RFC 9110 section 7.6), `Via`,
//! `Forwarded` (RFC 7239), `X-Forwarded-*`, the request id.

use std::net::IpAddr;

use pilotlight_config::manifest::Forwarded;
use pilotlight_core::cidr;
use pilotlight_filter::{Exchange, Fields, Name, RequestHead, Version};

/// Removes connection fields and those that `Connection` nominates, but for protected ones: a
/// client can't make us drop `Authorization` or what other hops said of it. `TE: trailers` stays
/// (RFC 9110 section 10.1.4), for upstreams that speak HTTP/2. Scripts for nginx still see them.
pub(crate) fn strip_hop_by_hop(fields: &mut Fields) {
    let trailers =
        fields.all_known(Name::Te).any(|v| tokens(v).any(|t| t.eq_ignore_ascii_case(b"trailers")));
    let mut nominated: Vec<Vec<u8>> = Vec::new();
    for value in fields.all_known(Name::Connection) {
        for token in tokens(value) {
            let id = Name::of(token);
            if !id.is_hop_by_hop() && !id.is_protected() && !token.eq_ignore_ascii_case(b"close") {
                nominated.push(token.to_vec());
            }
        }
    }
    fields.hide(|id, name| {
        id.is_hop_by_hop() || nominated.iter().any(|n| n.eq_ignore_ascii_case(name))
    });
    if trailers {
        fields.push(Name::Te, b"trailers");
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
}

/// Whether what this client says about earlier hops is believed.
pub(crate) fn is_trusted(settings: &Forwarded, peer: IpAddr) -> bool {
    settings.trust.iter().any(|range| cidr::contains(range, peer))
}

/// Counts this hop of a TRACE or OPTIONS request that has a limit (RFC 9110 section 7.6.2); true if
/// it may go no further.
pub(crate) fn is_last_hop(head: &mut RequestHead) -> bool {
    const LIMIT: &[u8] = b"max-forwards";
    if !matches!(head.method_text(), b"TRACE" | b"OPTIONS") {
        return false;
    }
    let given = head.fields.get(LIMIT).and_then(|left| std::str::from_utf8(left).ok());
    match given.and_then(|left| left.parse::<u64>().ok()) {
        None => false,
        Some(0) => true,
        Some(left) => {
            let _ = head.fields.set(LIMIT, (left - 1).to_string().as_bytes());
            false
        }
    }
}

/// Adds to a request what the upstream should know of this hop. `client` is the peer's address.
pub(crate) fn request(exchange: &mut Exchange, settings: &Forwarded, client: &str) {
    let trusted = is_trusted(settings, exchange.peer.address);
    let head = &mut exchange.request.head;
    if settings.x_forwarded {
        x_forwarded(head, client, trusted);
    }
    if settings.forwarded {
        forwarded(head, client, trusted);
    }
    if let Some(name) = &settings.via {
        via(&mut head.fields, head.version, name);
    }
    // The name was checked when the manifest was loaded; an id holds token bytes only.
    match Name::of(settings.request_id.as_bytes()) {
        Name::Other => {
            let _ = head.fields.set(settings.request_id.as_bytes(), exchange.id.as_bytes());
        }
        known => head.fields.replace(known, exchange.id.as_bytes()),
    }
}

/// What clients that are not trusted say of earlier hops is replaced, not extended.
fn x_forwarded(head: &mut RequestHead, client: &str, trusted: bool) {
    let chain = head
        .fields
        .known(Name::XForwardedFor)
        .filter(|_| trusted)
        .map(|earlier| [earlier, b", ", client.as_bytes()].concat());
    head.fields.replace(Name::XForwardedFor, chain.as_deref().unwrap_or(client.as_bytes()));
    if !trusted || head.fields.known(Name::XForwardedProto).is_none() {
        head.fields.replace(Name::XForwardedProto, head.scheme.text().as_bytes());
    }
    if !trusted || head.fields.known(Name::XForwardedHost).is_none() {
        head.fields.remove_known(Name::XForwardedHost);
        head.push_authority_as(Name::XForwardedHost);
    }
}

/// RFC 7239.
fn forwarded(head: &mut RequestHead, client: &str, trusted: bool) {
    let node = if client.contains(':') { format!("\"[{client}]\"") } else { client.to_owned() };
    let host = String::from_utf8_lossy(head.authority());
    let element = format!("for={node};host=\"{host}\";proto={}", head.scheme.text());
    let chain = match head.fields.known(Name::Forwarded).filter(|_| trusted) {
        Some(earlier) => format!("{}, {element}", String::from_utf8_lossy(earlier)),
        None => element,
    };
    head.fields.replace(Name::Forwarded, chain.as_bytes());
}

/// Adds to a response what the client should know of this hop.
pub(crate) fn response(exchange: &mut Exchange, settings: &Forwarded, alt_svc: Option<&str>) {
    let from_upstream = exchange.response.origin == Some(pilotlight_filter::Origin::Upstream);
    let head = &mut exchange.response.head;
    if let Some(name) = &settings.via
        && from_upstream
    {
        via(&mut head.fields, head.version, name);
    }
    if let Some(value) = alt_svc
        && head.fields.known(Name::AltSvc).is_none()
    {
        head.fields.push(Name::AltSvc, value.as_bytes());
    }
}

fn via(fields: &mut Fields, version: Version, name: &str) {
    let version = version.text().as_bytes();
    if fields.known(Name::Via).is_none() {
        return fields.push_parts(Name::Via, [version, b" ", name.as_bytes()]);
    }
    let mut value = fields.all_known(Name::Via).collect::<Vec<_>>().join(&b", "[..]);
    value.extend_from_slice(b", ");
    value.extend_from_slice(version);
    value.push(b' ');
    value.extend_from_slice(name.as_bytes());
    fields.replace(Name::Via, &value);
}

/// Each byte as two digits.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

/// The id of a request: the client's where it is believed and well-formed, else a new one.
pub(crate) fn request_id(
    exchange: &Exchange,
    settings: &Forwarded,
    random: impl Fn() -> u64,
) -> Box<str> {
    if is_trusted(settings, exchange.peer.address)
        && let Some(given) = exchange.request.head.fields.get(settings.request_id.as_bytes())
        && (1..=128).contains(&given.len())
        && given.iter().all(|b| pilotlight_filter::fields::is_token(*b))
        && let Ok(text) = std::str::from_utf8(given)
    {
        return text.into();
    }
    let mut digits = [0; 32];
    let bytes = random().to_le_bytes().into_iter().chain(random().to_le_bytes());
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&HEX[byte as usize]);
    }
    std::str::from_utf8(&digits).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
