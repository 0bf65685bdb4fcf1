//! The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): who the client is, told
//! by a balancer in front of us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The client and where it connected to; `None` for the balancer's own checks.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Bytes of the header.
    pub length: usize,
}

/// What the first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A whole header.
    Header(Header),
    /// The beginning of one.
    Partial,
    /// None, or a malformed one: the connection is not to be trusted.
    Bad,
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest version 1 line.
const V1_MAX: usize = 107;
/// The longest version 2 header: addresses and extensions.
pub const MAX: usize = 16 + 2048;

/// Reads a header at the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let looks_v2 = bytes.len().min(SIGNATURE.len());
    if bytes[..looks_v2] == SIGNATURE[..looks_v2] {
        return if looks_v2 < SIGNATURE.len() { Parsed::Partial } else { version2(bytes) };
    }
    let looks_v1 = bytes.len().min(6);
    if bytes[..looks_v1] == b"PROXY "[..looks_v1] {
        return version1(bytes);
    }
    Parsed::Bad
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`
fn version1(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(V1_MAX)];
    let Some(feed) = memchr::memchr(b'\n', window) else {
        return if window.len() < V1_MAX { Parsed::Partial } else { Parsed::Bad };
    };
    let line = window[..feed].strip_suffix(b"\r").and_then(|l| std::str::from_utf8(l).ok());
    let Some(line) = line else { return Parsed::Bad };
    let length = feed + 1;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Parsed::Header(Header { addresses: None, length });
    }
    let [source, target, from, to] = std::array::from_fn(|_| words.next().unwrap_or(""));
    let port = |text: &str| {
        let plain =
            text == "0" || !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<u16>().ok())?
    };
    let addresses = (source.parse().ok(), target.parse().ok(), port(from), port(to));
    match (family, addresses, words.next()) {
        (Some("TCP4"), (Some(IpAddr::V4(a)), Some(IpAddr::V4(b)), Some(p), Some(q)), None) => {
            header(a.into(), b.into(), p, q, length)
        }
        (Some("TCP6"), (Some(IpAddr::V6(a)), Some(IpAddr::V6(b)), Some(p), Some(q)), None) => {
            header(a.into(), b.into(), p, q, length)
        }
        _ => Parsed::Bad,
    }
}

fn version2(bytes: &[u8]) -> Parsed {
    let Some([version, family, high, low]) = bytes.get(12..16) else { return Parsed::Partial };
    let payload = usize::from(u16::from_be_bytes([*high, *low]));
    let length = 16 + payload;
    if version >> 4 != 2 || length > MAX {
        return Parsed::Bad;
    }
    let Some(rest) = bytes.get(16..length) else { return Parsed::Partial };
    match (version & 15, family) {
        (0, _) => Parsed::Header(Header { addresses: None, length }),
        (1, 0x11) => match rest.first_chunk::<12>() {
            Some([a, b, c, d, e, f, g, h, p0, p1, q0, q1]) => header(
                Ipv4Addr::new(*a, *b, *c, *d).into(),
                Ipv4Addr::new(*e, *f, *g, *h).into(),
                u16::from_be_bytes([*p0, *p1]),
                u16::from_be_bytes([*q0, *q1]),
                length,
            ),
            None => Parsed::Bad,
        },
        (1, 0x21) => match (rest.first_chunk::<16>(), rest.get(16..36)) {
            (Some(source), Some(tail)) => {
                let target: [u8; 16] = std::array::from_fn(|i| tail[i]);
                header(
                    Ipv6Addr::from(*source).into(),
                    Ipv6Addr::from(target).into(),
                    u16::from_be_bytes([tail[16], tail[17]]),
                    u16::from_be_bytes([tail[18], tail[19]]),
                    length,
                )
            }
            _ => Parsed::Bad,
        },
        // Unix sockets, unspecified: the balancer's word, but no address.
        (1, 0x00 | 0x31 | 0x32) => Parsed::Header(Header { addresses: None, length }),
        _ => Parsed::Bad,
    }
}

fn header(source: IpAddr, target: IpAddr, from: u16, to: u16, length: usize) -> Parsed {
    let addresses = Some((SocketAddr::new(source, from), SocketAddr::new(target, to)));
    Parsed::Header(Header { addresses, length })
}

#[cfg(test)]
mod tests;
