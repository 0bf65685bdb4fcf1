//! Field sections of HTTP/2 and HTTP/3 (RFC 9113 section 8.3, RFC 9114 section 4.3): their lines
//! become a head or trailers, and what is malformed is refused. Both protocols come through this one
//! gate, in both directions.

use pilotlight_filter::fields::{is_token, is_value};
use pilotlight_filter::head::{Scheme, is_authority, is_target, split_port};
use pilotlight_filter::{Fields, Method, Name, RequestHead, ResponseHead, Span, Version};

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
    /// A request of `version`. `head` gives its memory; what stood in it is gone.
    pub(crate) fn new(version: Version, bounds: Bounds, mut head: RequestHead) -> Lines {
        head.fields.clear();
        head.adopt_line(Span::EMPTY, Span::EMPTY, None);
        head.version = version;
        Lines { bounds: Some(bounds), head, ..Lines::default() }
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
        match check(name, value)? {
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
            Name::Expect => self.expects = true,
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

    /// A refused request as far as it came: what can be said of it.
    pub(crate) fn sketch(self) -> RequestHead {
        self.head
    }

    /// The end of the section. `ends`: no body follows. `secure`: what carries it.
    pub(crate) fn finish(&mut self, ends: bool, secure: bool) -> Result<Head, BadHead> {
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
        if self.expects {
            // This hop answers it: the 100 comes from us.
            self.head.fields.hide(|id, _| id == Name::Expect);
        }
        self.head.scheme = if secure { Scheme::Https } else { Scheme::Http };
        let head = std::mem::take(&mut self.head);
        Ok(Head { head, length: self.length, expects: self.expects })
    }

    /// RFC 9113 section 6.5.2: a line counts its bytes and 32 more.
    fn count(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        self.fields += usize::from(name.first() != Some(&b':'));
        self.bytes += name.len() + value.len() + 32;
        match self.bounds {
            Some(b) if self.fields > b.fields => Err(bad(431, "too many header fields")),
            Some(b) if self.bytes > b.bytes => Err(bad(431, "header too large")),
            _ => Ok(()),
        }
    }
}

/// A name and value of a regular field (RFC 9113 section 8.2).
fn check(name: &[u8], value: &[u8]) -> Result<Name, BadHead> {
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
        id => Ok(id),
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

/// Takes a response's field section line by line.
pub(crate) struct Answer {
    pub(crate) head: ResponseHead,
    /// `content-length`.
    pub(crate) length: Option<u64>,
    bounds: Bounds,
    bytes: usize,
}

impl Answer {
    /// `head` gives its memory; what stood in it is gone.
    pub(crate) fn new(version: Version, bounds: Bounds, mut head: ResponseHead) -> Answer {
        head.fields.clear();
        (head.status, head.version) = (0, version);
        Answer { head, length: None, bounds, bytes: 0 }
    }

    /// The next line: `:status`, then fields (RFC 9113 section 8.3.2).
    pub(crate) fn line(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        self.bytes += name.len() + value.len() + 32;
        if self.bytes > self.bounds.bytes || self.head.fields.len() >= self.bounds.fields {
            return Err(bad(431, "response head too large"));
        }
        if name == b":status" && self.head.status == 0 && self.head.fields.is_empty() {
            return self.status(value);
        }
        let id = check(name, value)?;
        if id == Name::ContentLength {
            if self.length.is_some() {
                return Err(malformed("several content-length fields"));
            }
            self.length = Some(content_length(value)?);
        }
        self.head.fields.push_checked(name, value);
        Ok(())
    }

    fn status(&mut self, value: &[u8]) -> Result<(), BadHead> {
        match value {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                let digit = |byte: &u8| u16::from(byte - b'0');
                self.head.status = digit(a) * 100 + digit(b) * 10 + digit(c);
                Ok(())
            }
            _ => Err(malformed("malformed :status")),
        }
    }
}

/// Takes a trailer section line by line; names that trailers may not carry are dropped.
pub(crate) struct Trailers {
    pub(crate) list: Fields,
    lines: usize,
    bounds: Bounds,
}

impl Trailers {
    pub(crate) fn new(bounds: Bounds) -> Trailers {
        Trailers { list: Fields::default(), lines: 0, bounds }
    }

    /// The next line (RFC 9110 section 6.5.1).
    pub(crate) fn line(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadHead> {
        self.lines += 1;
        let bytes = self.list.bytes() + name.len() + value.len();
        if self.lines > self.bounds.fields || bytes > self.bounds.bytes {
            return Err(bad(431, "trailers too large"));
        }
        let id = check(name, value)?;
        if allowed_in_trailers(id, name) {
            self.list.push_checked(name, value);
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests;
