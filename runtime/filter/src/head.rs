//! Heads of requests and responses: the same for every version of HTTP.

use crate::fields::{BadField, Fields, Span, is_token};
use crate::name::Name;

/// The version a message came in. For logs and scripts only: nothing decides by it past the codecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
    /// HTTP/3
    Http3,
}

impl Version {
    /// As scripts see it: "1.0", "1.1", "2" or "3".
    pub const fn text(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
            Version::Http3 => "3",
        }
    }

    /// As nginx and its logs write it: "HTTP/1.1", "HTTP/2.0".
    pub const fn protocol(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
            Version::Http3 => "HTTP/3.0",
        }
    }
}

/// How the client reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// Clear text.
    #[default]
    Http,
    /// TLS or QUIC.
    Https,
}

impl Scheme {
    /// "http" or "https".
    pub const fn text(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Methods that the gateway reasons about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token; its text stands in the head.
    Other,
}

impl Method {
    /// The method with this (case-sensitive) name.
    pub fn of(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// RFC 9110 section 9.2.1: asks for nothing to change.
    pub const fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// RFC 9110 section 9.2.2: may be sent twice.
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

/// The head of a request.
///
/// `path` is in canonical form (no dot segments, no empty ones): routing, filters and the
/// upstream all see the same one.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// Header fields. `Host` is not among them: see [`RequestHead::authority`].
    pub fields: Fields,
    /// The version it came in.
    pub version: Version,
    /// How the client reached us.
    pub scheme: Scheme,
    method: Method,
    method_text: Span,
    authority: Span,
    path: Span,
    query: Option<Span>,
    /// All of it as it came, where it came as text.
    sent: Span,
}

impl RequestHead {
    /// The method, as far as the gateway knows it.
    #[inline]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method's name.
    #[inline]
    pub fn method_text(&self) -> &[u8] {
        self.method_text.of(self.fields.arena())
    }

    /// The host and port asked for: `:authority`, or the absolute target's, or `Host`.
    #[inline]
    pub fn authority(&self) -> &[u8] {
        self.authority.of(self.fields.arena())
    }

    /// The authority without its port, IPv6 brackets kept.
    pub fn host(&self) -> &[u8] {
        split_host(self.authority()).0
    }

    /// The canonical path; `*` for `OPTIONS *`, empty for `CONNECT`.
    #[inline]
    pub fn path(&self) -> &[u8] {
        self.path.of(self.fields.arena())
    }

    /// What follows the first `?`, raw.
    #[inline]
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|q| q.of(self.fields.arena()))
    }

    /// Replaces the method.
    ///
    /// # Errors
    /// When it is not a token.
    pub fn set_method(&mut self, method: &[u8]) -> Result<(), BadField> {
        if method.is_empty() || method.len() > 64 || !method.iter().all(|b| is_token(*b)) {
            return Err(BadField::Name);
        }
        self.fields.fits(method.len())?;
        self.method = Method::of(method);
        self.method_text = self.fields.write(method);
        Ok(())
    }

    /// Replaces the authority.
    ///
    /// # Errors
    /// When it holds bytes that no authority has, or the head has grown too large.
    pub fn set_authority(&mut self, authority: &[u8]) -> Result<(), BadField> {
        if authority.len() > 512 || !is_authority(authority) {
            return Err(BadField::Value);
        }
        self.fields.fits(authority.len())?;
        self.authority = self.fields.write(authority);
        Ok(())
    }

    /// Replaces the path. A `?` must be written as `%3F`.
    ///
    /// # Errors
    /// When it does not begin with `/` (or is not `*`) or holds bytes that no path has.
    pub fn set_path(&mut self, path: &[u8]) -> Result<(), BadField> {
        let rooted = path.first() == Some(&b'/') || path == b"*";
        if !rooted || path.len() > 65_536 || !path.iter().all(|b| is_target(*b) && *b != b'?') {
            return Err(BadField::Value);
        }
        self.fields.fits(path.len())?;
        self.path = self.fields.write(path);
        Ok(())
    }

    /// Replaces the query; `None` takes it away.
    ///
    /// # Errors
    /// When it holds bytes that no query has.
    pub fn set_query(&mut self, query: Option<&[u8]>) -> Result<(), BadField> {
        if let Some(query) = query
            && (query.len() > 65_536 || !query.iter().all(|b| is_target(*b)))
        {
            return Err(BadField::Value);
        }
        self.fields.fits(query.map_or(0, <[u8]>::len))?;
        self.query = query.map(|q| self.fields.write(q));
        Ok(())
    }

    /// Adds a field that holds the authority, without copying it.
    pub fn push_authority_as(&mut self, id: Name) {
        self.fields.push_span(id, self.authority);
    }

    /// Codecs: the parts of a request line that lie in the arena already, checked.
    pub fn adopt_line(&mut self, method: Span, path: Span, query: Option<Span>) {
        self.method = Method::of(method.of(self.fields.arena()));
        (self.method_text, self.path, self.query) = (method, path, query);
        (self.authority, self.sent) = (Span::EMPTY, Span::EMPTY);
    }

    /// Codecs: the head stands at the beginning of the arena as it came, so many bytes of it.
    pub fn adopt_sent(&mut self, len: usize) {
        self.sent = Span { start: 0, len: len as u32 };
    }

    /// The head as it came, with its empty line; nothing where the protocol has another form for it.
    pub fn sent(&self) -> &[u8] {
        self.sent.of(self.fields.arena())
    }

    /// Codecs: the authority, where it lies in the arena, checked.
    pub fn adopt_authority(&mut self, authority: Span) {
        self.authority = authority;
    }
}

/// The head of a response.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// Header fields.
    pub fields: Fields,
    /// 100 to 599; scripts for nginx may go up to 999.
    pub status: u16,
    /// What a filter wants to stand behind the status, where the protocol has room for it.
    pub reason: Option<Box<str>>,
    /// The version it came in.
    pub version: Version,
}

/// Splits `host:port`; the port is `None` when there is none or it is not one.
pub fn split_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let (host, port) = split_host(authority);
    (host, std::str::from_utf8(port).ok().and_then(|p| p.parse().ok()))
}

/// The host, and what follows the colon behind it. The colons of an address without brackets are its own.
fn split_host(authority: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = authority.iter().rposition(|byte| *byte == b':') else {
        return (authority, &[]);
    };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    if host.last() != Some(&b']') && host.contains(&b':') { (authority, &[]) } else { (host, port) }
}

/// RFC 3986 section 3.2, without user information: `host`, `host:port`, `[v6]:port`.
pub fn is_authority(authority: &[u8]) -> bool {
    let end = match authority.first() {
        Some(b'[') => authority.iter().rposition(|b| *b == b']').map(|bracket| bracket + 1),
        _ => authority.iter().position(|b| !HOST[*b as usize]),
    };
    let (host, port) = authority.split_at(end.unwrap_or(authority.len()));
    let port_ok = match port {
        [] => true,
        [b':', digits @ ..] if digits.len() <= 5 => {
            let number = digits.iter().try_fold(0u32, |number, byte| {
                let digit = byte.wrapping_sub(b'0');
                (digit < 10).then(|| number * 10 + u32::from(digit))
            });
            number.is_some_and(|number| number <= 65_535)
        }
        _ => false,
    };
    // A name's bytes are all of the table: it ended where one is not.
    let host_ok = match host {
        [b'[', inner @ .., b']'] => {
            !inner.is_empty()
                && inner.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        [] | [b'[', ..] => false,
        _ => true,
    };
    port_ok && host_ok
}

/// RFC 3986 section 3.2.2: bytes of a registered name, but the comma.
const HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
            || matches!(b, b'*' | b'+' | b';' | b'=' | b'%');
        byte += 1;
    }
    table
};

/// Bytes of a request target: visible ASCII but `#` and `\\` (RFC 3986 section 3.3 and 3.4, and
/// what browsers send beyond it).
#[inline]
pub const fn is_target(byte: u8) -> bool {
    byte > 0x20 && byte < 0x7f && byte != b'#' && byte != b'\\'
}
