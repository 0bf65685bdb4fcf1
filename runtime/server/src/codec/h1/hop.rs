//! What a request says to this hop alone.

use pilotlight_filter::{Name, RequestHead, Version};

use super::head::Framing;

/// What the client wants to switch to (RFC 9110 section 7.8). Not to HTTP itself or to TLS: requests
/// within such a tunnel would pass by the routes and the filters.
pub(super) fn upgrade(request: &mut RequestHead, framing: &Framing) -> Option<Box<str>> {
    let asks = framing.upgrade && request.version == Version::Http11 && framing.length.is_none();
    let asked = std::str::from_utf8(request.fields.known(Name::Upgrade)?).ok()?;
    let ours = |protocol: &&str| {
        let name = protocol.split('/').next().unwrap_or_default();
        ["", "h2c", "h2", "http", "tls"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
    };
    let asked: Vec<&str> = asked.split(',').map(str::trim).filter(|p| !ours(p)).collect();
    (asks && !framing.chunked && !asked.is_empty()).then(|| asked.join(", ").into())
}

/// Takes away what ends at this hop (RFC 9110 section 7.6.1), and names that could pass for others.
pub(super) fn strip(request: &mut RequestHead, framing: &Framing) {
    request.expects = framing.expects;
    if framing.expects {
        request.fields.remove_known(Name::Expect);
    }
    if framing.hop {
        crate::forward::strip_hop_by_hop(&mut request.fields);
    }
    if framing.underscore {
        request.fields.retain(|_, name, _| !name.contains(&b'_'));
    }
}
