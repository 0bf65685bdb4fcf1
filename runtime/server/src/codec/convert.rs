//! Heads of HTTP/2 and HTTP/3 (RFC 9113 section 8.3, RFC 9114 section 4.3): lines of a field section
//! become a head, and what is malformed is refused. Both protocols come through this one gate.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use pilotlight_filter::fields::{is_token, is_value};
use pilotlight_filter::head::{Scheme, is_authority, is_target, split_port};
use pilotlight_filter::{Fields, Method, Name, RequestHead, ResponseHead, Version};

use super::Length;
use super::h1::body::allowed_in_trailers;
use super::h1::head::{BadHead, Bounds};

/// A request's head, and what it says of the bytes after it.
pub(crate) struct Head {
    pub(crate) head: RequestHead,
    /// `content-length`.
    pub(crate) length: Option<u64>,
    /// `Expect: 100-continue`.
    pub(crate) expects: bool,
}

/// Takes a request's field section line by line.
///
/// A [`BadHead`] of status 400 means malformed: a stream error. Other statuses can be answered.
#[derive(Default)]
pub(crate) struct Lines {
    head: RequestHead,
    bounds: Option<Bounds>,
    seen: u8,
    scheme: Option<Scheme>,
    path: Option<usize>,
    /// Regular fields have begun: no pseudo-header may follow.
    regular: bool,
    host: Option<Box<[u8]>>,
    crumbs: Vec<u8>,
    length: Option<u64>,
    expects: bool,
    fields: usize,
    bytes: usize,
}

const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const AUTHORITY: u8 = 4;
const PATH: u8 = 8;

const fn bad(status: u16, detail: &'static str) -> BadHead {
    BadHead { status, detail }
}

const fn malformed(detail: &'static str) -> BadHead {
    bad(400, detail)
}

impl Lines {
    /// A request of `version`. `buffer` becomes the head's memory.
    pub(crate) fn new(version: Version, bounds: Bounds, buffer: Vec<u8>) -> Lines {
        let mut lines = Lines { bounds: Some(bounds), ..Lines::default() };
        lines.head.version = version;
        lines.head.fields.adopt(buffer);
        lines
    }

    /// The next line, pseudo-header or not.
    pub(crate) fn line(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        self.count(name, value)?;
        match name {
            [b':', pseudo @ ..] => self.pseudo(pseudo, value),
            _ => self.field(name, value),
        }
    }

    /// RFC 9113 section 8.3.1: each once, before all others, and none but these four.
    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        if self.regular {
            return Err(malformed("pseudo-header after a regular field"));
        }
        let flag = match name {
            b"method" => METHOD,
            b"scheme" => SCHEME,
            b"authority" => AUTHORITY,
            b"path" => PATH,
            _ => return Err(malformed("unknown pseudo-header")),
        };
        if self.seen & flag != 0 {
            return Err(malformed("repeated pseudo-header"));
        }
        self.seen |= flag;
        match flag {
            METHOD => self.head.set_method(value).map_err(|_| malformed("malformed :method")),
            SCHEME if value.eq_ignore_ascii_case(b"https") => {
                self.scheme = Some(Scheme::Https);
                Ok(())
            }
            SCHEME if value.eq_ignore_ascii_case(b"http") => {
                self.scheme = Some(Scheme::Http);
                Ok(())
            }
            SCHEME => Err(malformed("unknown :scheme")),
            AUTHORITY => {
                self.head.set_authority(value).map_err(|_| malformed("malformed :authority"))
            }
            _ => self.target(value),
        }
    }

    /// `:path`: `/path?query`, or `*` (which only OPTIONS may say; see `finish`).
    fn target(&mut self, target: &[u8]) -> Result<(), BadHead> {
        if self.bounds.is_some_and(|bounds| target.len() > bounds.uri) {
            return Err(bad(414, "request target too long"));
        }
        let rooted = target.first() == Some(&b'/') || target == b"*";
        if !rooted || !target.iter().all(|b| is_target(*b)) {
            return Err(malformed("malformed :path"));
        }
        let (path, query) = match memchr::memchr(b'?', target) {
            Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
            None => (target, None),
        };
        let set = self.head.set_path(path).and_then(|()| self.head.set_query(query));
        self.path = Some(path.len());
        set.map_err(|_| malformed("malformed :path"))
    }

    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        self.regular = true;
        check(name, value)?;
        match Name::of(name) {
            Name::Other | Name::UserAgent | Name::Accept => {}
            // A client that sent `Host` and no `:authority` is as good as HTTP/1.
            Name::Host => {
                if self.host.is_some() || !is_authority(value) {
                    return Err(malformed("malformed or repeated host field"));
                }
                self.host = Some(value.into());
                return Ok(());
            }
            Name::Cookie => {
                // RFC 9113 section 8.2.3: crumbs are one field.
                if !self.crumbs.is_empty() {
                    self.crumbs.extend_from_slice(b"; ");
                }
                self.crumbs.extend_from_slice(value);
                return Ok(());
            }
            Name::ContentLength => {
                if self.length.is_some() {
                    return Err(malformed("several content-length fields"));
                }
                self.length = Some(content_length(value)?);
            }
            Name::Expect if !value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(bad(417, "expectation other than 100-continue"));
            }
            // This hop answers it: the 100 comes from us.
            Name::Expect => {
                self.expects = true;
                return Ok(());
            }
            Name::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                return Err(malformed("te other than trailers"));
            }
            Name::Http2Settings => return Ok(()),
            _ => {}
        }
        // A name with `_` can pass for one with `-` behind us: it is not forwarded.
        if !name.contains(&b'_') {
            self.head.fields.push_checked(name, value);
        }
        Ok(())
    }

    /// The end of the section. `ends`: no body follows. `secure`: what carries it.
    pub(crate) fn finish(mut self, ends: bool, secure: bool) -> Result<Head, BadHead> {
        if self.seen & METHOD == 0 {
            return Err(malformed("missing :method"));
        }
        if self.head.method() == Method::Connect {
            return Err(bad(501, "CONNECT is not offered"));
        }
        if self.scheme.is_none() {
            return Err(malformed("missing :scheme"));
        }
        if self.path.is_none() {
            return Err(malformed("missing :path"));
        }
        if self.head.path() == b"*" && self.head.method() != Method::Options {
            return Err(malformed("* asked of a method other than OPTIONS"));
        }
        match (self.seen & AUTHORITY != 0, &self.host) {
            (false, None) => return Err(malformed("neither :authority nor host")),
            (false, Some(host)) => {
                self.head.set_authority(host).map_err(|_| malformed("malformed host field"))?;
            }
            (true, None) => {}
            (true, Some(host)) => {
                let port = if self.scheme == Some(Scheme::Https) { 443 } else { 80 };
                if !same_authority(host, self.head.authority(), port) {
                    return Err(malformed(":authority and host disagree"));
                }
            }
        }
        if ends && self.length.is_some_and(|length| length > 0) {
            return Err(malformed("content-length without a body"));
        }
        if !self.crumbs.is_empty() {
            self.head.fields.push(Name::Cookie, &self.crumbs);
        }
        self.head.scheme = if secure { Scheme::Https } else { Scheme::Http };
        Ok(Head { head: self.head, length: self.length, expects: self.expects })
    }

    /// RFC 9113 section 6.5.2: a line counts its bytes and 32 more.
    fn count(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        self.fields += usize::from(name.first() != Some(&b':'));
        self.bytes += name.len() + value.len() + 32;
        match self.bounds {
            Some(b) if self.fields > b.fields => Err(bad(431, "too many header fields")),
            Some(b) if self.bytes > b.bytes + 32 * b.fields => Err(bad(431, "header too large")),
            _ => Ok(()),
        }
    }
}

/// A name and value of a regular field (RFC 9113 section 8.2).
fn check(name: &[u8], value: &[u8]) -> Result<(), BadHead> {
    let token = |b: &u8| is_token(*b) && !b.is_ascii_uppercase();
    if name.is_empty() || !name.iter().all(token) {
        return Err(malformed("malformed header name"));
    }
    if !is_value(value) {
        return Err(malformed("malformed header value"));
    }
    match Name::of(name) {
        Name::Connection
        | Name::ProxyConnection
        | Name::KeepAlive
        | Name::TransferEncoding
        | Name::Upgrade => Err(malformed("connection-specific header field")),
        _ => Ok(()),
    }
}

/// RFC 9110 section 8.6: digits only, and within what the field can mean.
fn content_length(value: &[u8]) -> Result<u64, BadHead> {
    let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|v| v.parse().ok());
    number.filter(|n| *n <= i64::MAX as u64).ok_or(malformed("malformed content-length"))
}

fn same_authority(a: &[u8], b: &[u8], default: u16) -> bool {
    let ((host_a, port_a), (host_b, port_b)) = (split_port(a), split_port(b));
    host_a.eq_ignore_ascii_case(host_b) && port_a.unwrap_or(default) == port_b.unwrap_or(default)
}

/// A request as the h2 crate gives it. That crate has refused unknown, repeated and late
/// pseudo-headers already.
pub(crate) fn request(
    parts: &http::request::Parts,
    mut lines: Lines,
    ends: bool,
    secure: bool,
) -> Result<Head, BadHead> {
    lines.line(b":method", parts.method.as_str().as_bytes())?;
    if parts.method == http::Method::CONNECT {
        return lines.finish(ends, secure);
    }
    if let Some(scheme) = parts.uri.scheme_str() {
        lines.line(b":scheme", scheme.as_bytes())?;
    }
    if let Some(authority) = parts.uri.authority() {
        lines.line(b":authority", authority.as_str().as_bytes())?;
    }
    if let Some(path) = parts.uri.path_and_query() {
        lines.line(b":path", path.as_str().as_bytes())?;
    }
    for (name, value) in &parts.headers {
        lines.line(name.as_str().as_bytes(), value.as_bytes())?;
    }
    lines.finish(ends, secure)
}

/// What can be said of a refused request in the log: its method and path, where they are sound.
pub(crate) fn sketch(parts: &http::request::Parts, version: Version) -> RequestHead {
    let mut head = RequestHead::default();
    head.version = version;
    let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
    // Setters refuse what is not sound, and leave the part empty.
    let _ = head.set_method(parts.method.as_str().as_bytes());
    let _ = head.set_authority(authority.as_bytes());
    let _ = head.set_path(parts.uri.path().as_bytes());
    head
}

/// A response of an upstream; gives its `content-length`. `None` when it is malformed.
pub(crate) fn response(
    parts: &http::response::Parts,
    head: &mut ResponseHead,
) -> Option<Option<u64>> {
    head.fields.clear();
    head.status = parts.status.as_u16();
    head.version = Version::Http2;
    let mut length = None;
    for (name, value) in &parts.headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        check(name, value).ok()?;
        if Name::of(name) == Name::ContentLength {
            if length.is_some() {
                return None;
            }
            length = Some(content_length(value).ok()?);
        }
        head.fields.push_checked(name, value);
    }
    Some(length)
}

/// Trailers, forbidden names dropped; `None` when they are malformed.
pub(crate) fn trailers(map: &HeaderMap) -> Option<Fields> {
    let mut list = Fields::default();
    for (name, value) in map {
        trailer(&mut list, name.as_str().as_bytes(), value.as_bytes()).ok()?;
    }
    Some(list)
}

/// One trailer line (RFC 9110 section 6.5.1).
pub(crate) fn trailer(list: &mut Fields, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
    check(name, value)?;
    if allowed_in_trailers(Name::of(name), name) {
        list.push_checked(name, value);
    }
    Ok(())
}

/// The lines of a message that are sent on: what ends at this hop stays here.
pub(crate) fn outgoing(
    list: &Fields,
    keeps_length: bool,
) -> impl Iterator<Item = (Name, &[u8], &[u8])> {
    list.iter().filter(move |(id, _, value)| match id {
        Name::Other => true,
        Name::Host => false,
        Name::ContentLength => keeps_length,
        // RFC 9113 section 8.2.2: the one thing that TE may say.
        Name::Te => value.eq_ignore_ascii_case(b"trailers"),
        id => !id.is_hop_by_hop(),
    })
}

/// Fields as the h2 crate wants them: the values are slices of one copy of the arena.
pub(crate) fn header_map(list: &Fields, length: Length) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(list.len() + 1);
    let arena = list.arena();
    let whole = Bytes::copy_from_slice(arena);
    for (_, name, value) in outgoing(list, length == Length::None) {
        let from = value.as_ptr() as usize - arena.as_ptr() as usize;
        let value = whole.slice(from..from + value.len());
        put(&mut map, name, HeaderValue::from_maybe_shared(value).ok());
    }
    if let Length::Exact(bytes) = length {
        map.insert(http::header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    map
}

/// Trailers as the h2 crate wants them; `None` when none may be sent.
pub(crate) fn trailer_map(list: &Fields) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for (id, name, value) in list.iter() {
        if allowed_in_trailers(id, name) {
            put(&mut map, name, HeaderValue::from_bytes(value).ok());
        }
    }
    (!map.is_empty()).then_some(map)
}

/// Names and values are checked where they enter a head, so nothing is dropped here in practice.
fn put(map: &mut HeaderMap, name: &[u8], value: Option<HeaderValue>) {
    if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name), value) {
        // Fails only past 32768 fields.
        let _ = map.try_append(name, value);
    }
}

#[cfg(test)]
mod tests;
