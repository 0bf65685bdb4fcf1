//! Heads of HTTP/1 messages (RFC 9112 sections 2 to 5): one pass over the read buffer that records
//! spans and refuses everything ambiguous. Nothing is copied or repaired.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use pilotlight_filter::fields::{controls, is_control, is_token};
use pilotlight_filter::head::{is_authority, is_target, split_port};
use pilotlight_filter::{Fields, Name, RequestHead, ResponseHead, Span, Version};

/// Why a head was refused: the status to answer with and a phrase for its detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadHead {
    pub(crate) status: u16,
    pub(crate) detail: &'static str,
}

/// What a head says about the bytes after it and about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Framing {
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    /// The peer will not use the connection again.
    pub(crate) close: bool,
    /// The peer is 1.0 and asked to keep it.
    pub(crate) keep_alive: bool,
    /// `Connection: upgrade`.
    pub(crate) upgrade: bool,
    /// `Expect: 100-continue`.
    pub(crate) expects: bool,
    /// A field that ends at this hop is there.
    pub(crate) hop: bool,
    /// A name with `_` is there: not forwarded (it can pass for one with `-`).
    pub(crate) underscore: bool,
    hosts: u8,
}

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
    pub(crate) uri: usize,
}

const fn bad(status: u16, detail: &'static str) -> BadHead {
    BadHead { status, detail }
}

/// Where a head ends (behind its empty line), looking from `from` on; bare line feeds are refused
/// by the parsers, so that they may end the search here.
pub(crate) fn find_end(buffer: &[u8], from: usize) -> Option<usize> {
    static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    let start = from.saturating_sub(3);
    END.find(&buffer[start..]).map(|at| start + at + 4)
}

/// Parses the request head in `fields`' adopted arena, which ends with the empty line.
pub(crate) fn request(head: &mut RequestHead, bounds: Bounds) -> Result<Framing, BadHead> {
    let (line, mut at) = take_line(head.fields.arena(), 0)?;
    let line_bytes = line.of(head.fields.arena());
    let (method, target, version) = request_line(line_bytes, bounds.uri)?;
    head.version = version;
    let mut framing = Framing::default();
    fields(&mut head.fields, &mut at, bounds, &mut framing)?;
    if version == Version::Http10 && framing.chunked {
        return Err(bad(400, "transfer-encoding in an HTTP/1.0 request"));
    }
    adopt_target(head, method, target, &framing)?;
    Ok(framing)
}

/// Parses a response head; see [`request`].
pub(crate) fn response(head: &mut ResponseHead, bounds: Bounds) -> Result<Framing, BadHead> {
    let (line, mut at) = take_line(head.fields.arena(), 0)?;
    (head.version, head.status) = status_line(line.of(head.fields.arena()))?;
    let mut framing = Framing::default();
    fields(&mut head.fields, &mut at, bounds, &mut framing)?;
    if head.version == Version::Http10 && framing.chunked {
        return Err(bad(502, "transfer-encoding in an HTTP/1.0 response"));
    }
    Ok(framing)
}

/// `METHOD SP target SP HTTP/1.x`, one space each (RFC 9112 section 3).
fn request_line(line: &[u8], uri_max: usize) -> Result<(Span, Span, Version), BadHead> {
    let method_len = line.iter().position(|b| !is_token(*b)).unwrap_or(line.len());
    if method_len == 0 || method_len > 64 || line.get(method_len) != Some(&b' ') {
        return Err(bad(400, "malformed request line"));
    }
    let rest = &line[method_len + 1..];
    let target_len = rest.iter().position(|b| !is_target(*b)).unwrap_or(rest.len());
    if target_len > uri_max {
        return Err(bad(414, "request target too long"));
    }
    if target_len == 0 || rest.get(target_len) != Some(&b' ') {
        return Err(bad(400, "malformed request target"));
    }
    let version = match &rest[target_len + 1..] {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(bad(505, "HTTP version not supported"));
        }
        _ => return Err(bad(400, "malformed request line")),
    };
    let method = Span { start: 0, len: method_len as u32 };
    let target = Span { start: method_len as u32 + 1, len: target_len as u32 };
    Ok((method, target, version))
}

/// `HTTP/1.x SP 3DIGIT [SP reason]` (RFC 9112 section 4).
fn status_line(line: &[u8]) -> Result<(Version, u16), BadHead> {
    let malformed = bad(502, "malformed status line");
    let version = match line.get(..9) {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        _ => return Err(malformed),
    };
    let digits = line.get(9..12).filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or(malformed)?;
    let status = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
    let tail_ok = matches!(line.get(12), None | Some(b' '))
        && line.get(13..).unwrap_or_default().iter().all(|b| !is_control(*b));
    if !tail_ok || !(100..=599).contains(&status) {
        return Err(malformed);
    }
    Ok((version, status))
}

/// One line without its CRLF, and where the next begins.
fn take_line(arena: &[u8], start: usize) -> Result<(Span, usize), BadHead> {
    let Some(feed) = memchr::memchr(b'\n', arena.get(start..).unwrap_or_default()) else {
        return Err(bad(400, "malformed line"));
    };
    let end = start + feed;
    if feed == 0 || arena[end - 1] != b'\r' {
        return Err(bad(400, "bare line feed"));
    }
    Ok((Span { start: start as u32, len: (feed - 1) as u32 }, end + 1))
}

/// The field lines up to the empty one (RFC 9112 section 5), trailers too. Eight bytes at a time, but
/// for names that are not in the table of known ones.
pub(crate) fn fields(
    list: &mut Fields,
    at: &mut usize,
    bounds: Bounds,
    framing: &mut Framing,
) -> Result<(), BadHead> {
    let mut place = *at;
    loop {
        let arena = list.arena();
        match arena.get(place..) {
            Some([b'\r', b'\n', ..]) => {
                *at = place + 2;
                return Ok(());
            }
            Some([b'\n', ..]) => return Err(bad(400, "bare line feed")),
            _ => {}
        }
        let colon = byte_end(arena, place, colons, |byte| byte == b':');
        let id = Name::of(&arena[place..colon]);
        if id == Name::Other {
            let (end, underscore) = name_end(arena, place);
            if end != colon || end == place || end == arena.len() {
                return Err(bad_name(arena, place, end));
            }
            framing.underscore |= underscore;
        }
        let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        let mut start = colon + 1;
        while blank(arena.get(start)) {
            start += 1;
        }
        let line_end = byte_end(arena, start, controls, is_control);
        match arena.get(line_end..line_end + 2) {
            Some(b"\r\n") => {}
            Some([b'\n', _]) => return Err(bad(400, "bare line feed")),
            _ => return Err(bad(400, "control byte in a header value")),
        }
        let mut end = line_end;
        while end > start && blank(arena.get(end - 1)) {
            end -= 1;
        }
        if list.len() >= bounds.fields {
            return Err(bad(431, "too many header fields"));
        }
        let name = Span { start: place as u32, len: (colon - place) as u32 };
        let value = Span { start: start as u32, len: (end - start) as u32 };
        let whole = start == colon + 2 && end == line_end && arena[colon + 1] == b' ';
        list.record(id, name, value, whole);
        if id != Name::Other {
            note(framing, id, value.of(list.arena()))?;
        }
        place = line_end + 2;
    }
}

/// Bytes of a token, but the underscore.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_token(byte as u8) && byte as u8 != b'_';
        byte += 1;
    }
    table
};

/// Where a name ends, and whether it holds an underscore.
fn name_end(arena: &[u8], start: usize) -> (usize, bool) {
    let rest = arena.get(start..).unwrap_or_default();
    let first = rest.iter().position(|b| !PLAIN[*b as usize]).unwrap_or(rest.len());
    if rest.get(first) != Some(&b'_') {
        return (start + first, false);
    }
    let end = rest.iter().position(|b| !is_token(*b)).unwrap_or(rest.len());
    (start + end, true)
}

/// A colon's lanes, by their high bits; those above the first may lie.
#[inline]
fn colons(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let apart = word ^ (ONES * b':' as u64);
    apart.wrapping_sub(ONES) & !apart & (ONES * 0x80)
}

/// Where the first byte is for which `ends` holds, or the arena ends: eight bytes at a time, by the
/// lanes of a word in which one may be.
#[inline(always)]
fn byte_end(
    arena: &[u8],
    start: usize,
    lanes: impl Fn(u64) -> u64,
    ends: impl Fn(u8) -> bool,
) -> usize {
    let mut place = start;
    loop {
        while let Some(chunk) = arena.get(place..).and_then(|rest| rest.first_chunk::<8>()) {
            let found = lanes(u64::from_le_bytes(*chunk));
            if found != 0 {
                place += found.trailing_zeros() as usize / 8;
                break;
            }
            place += 8;
        }
        match arena.get(place) {
            Some(byte) if !ends(*byte) => place += 1,
            _ => return place,
        }
    }
}

#[cold]
fn bad_name(arena: &[u8], start: usize, end: usize) -> BadHead {
    match (end == start, arena.get(end)) {
        (true, Some(b' ' | b'\t')) => bad(400, "obsolete line folding"),
        (false, Some(b' ' | b'\t')) => bad(400, "space before the colon"),
        (false, Some(b'\r' | b'\n') | None) => bad(400, "header line without a colon"),
        _ => bad(400, "malformed header name"),
    }
}

fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

/// Notes what a known field says about framing and the connection.
fn note(framing: &mut Framing, id: Name, value: &[u8]) -> Result<(), BadHead> {
    match id {
        Name::ContentLength => {
            if framing.length.is_some() {
                return Err(bad(400, "several content-length fields"));
            }
            if framing.chunked {
                return Err(bad(400, "both content-length and transfer-encoding"));
            }
            framing.length = Some(content_length(value)?);
        }
        Name::TransferEncoding => {
            if framing.length.is_some() {
                return Err(bad(400, "both content-length and transfer-encoding"));
            }
            if framing.chunked {
                return Err(bad(400, "several transfer-encoding fields"));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(bad(501, "transfer-encoding other than chunked"));
            }
            (framing.chunked, framing.hop) = (true, true);
        }
        Name::Connection => {
            framing.hop = true;
            for token in value.split(|b| *b == b',').map(trim) {
                framing.close |= token.eq_ignore_ascii_case(b"close");
                framing.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                framing.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
            }
        }
        Name::Expect => {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(bad(417, "expectation other than 100-continue"));
            }
            framing.expects = true;
        }
        Name::Host => framing.hosts = framing.hosts.saturating_add(1),
        id if id.is_hop_by_hop() => framing.hop = true,
        _ => {}
    }
    Ok(())
}

/// RFC 9112 section 6.2: digits only, and within what the field can mean.
fn content_length(value: &[u8]) -> Result<u64, BadHead> {
    let digit = |n: u64, b: &u8| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0'));
    // Nineteen digits can't overflow.
    let sound = (1..=19).contains(&value.len());
    let number = sound.then(|| value.iter().try_fold(0, digit)).flatten();
    number.filter(|n| *n <= i64::MAX as u64).ok_or(bad(400, "malformed content-length"))
}

/// Splits the target into its parts and settles the authority (RFC 9112 section 3.2 and 3.3).
fn adopt_target(
    head: &mut RequestHead,
    method: Span,
    target: Span,
    framing: &Framing,
) -> Result<(), BadHead> {
    if framing.hosts > 1 {
        return Err(bad(400, "several host fields"));
    }
    let arena = head.fields.arena();
    let text = target.of(arena);
    let host = head.fields.known(Name::Host);
    match host {
        None if head.version == Version::Http11 => return Err(bad(400, "missing host field")),
        Some(host) if !host.is_empty() && !is_authority(host) => {
            return Err(bad(400, "malformed host field"));
        }
        _ => {}
    }
    let is_options = method.of(arena) == b"OPTIONS";
    if method.of(arena) == b"CONNECT" {
        return Err(bad(501, "CONNECT is not offered"));
    }
    let (authority, rest) = match text {
        [b'/', ..] => (None, target),
        b"*" if is_options => (None, target),
        _ => absolute(text, target, host)?,
    };
    let rest_text = rest.of(arena);
    let (path, query) = match memchr::memchr(b'?', rest_text) {
        None => (rest, None),
        Some(mark) => (
            Span { start: rest.start, len: mark as u32 },
            Some(Span { start: rest.start + mark as u32 + 1, len: rest.len - mark as u32 - 1 }),
        ),
    };
    let authority = authority.unwrap_or_else(|| match host {
        Some(host) => Span {
            start: (host.as_ptr() as usize - arena.as_ptr() as usize) as u32,
            len: host.len() as u32,
        },
        None => Span::EMPTY,
    });
    let rootless = path.len == 0;
    let sent = arena.len();
    head.adopt_line(method, path, query);
    head.adopt_sent(sent);
    head.adopt_authority(authority);
    if rootless {
        // `http://host` and `http://host?q` mean the root (RFC 9110 section 4.2.3).
        head.set_path(b"/").map_err(|_| bad(400, "malformed request target"))?;
    }
    if framing.hosts == 1 {
        head.fields.remove_known(Name::Host);
    }
    Ok(())
}

/// `http://authority/path`: the authority must be the one that Host names.
fn absolute(
    text: &[u8],
    target: Span,
    host: Option<&[u8]>,
) -> Result<(Option<Span>, Span), BadHead> {
    let lower = |n: usize| text.get(..n).unwrap_or_default().to_ascii_lowercase();
    let scheme = match () {
        () if lower(7) == b"http://" => 7,
        () if lower(8) == b"https://" => 8,
        () => return Err(bad(400, "malformed request target")),
    };
    let rest = &text[scheme..];
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let authority = &rest[..end];
    if !is_authority(authority) {
        return Err(bad(400, "malformed request target"));
    }
    let default = if scheme == 7 { 80 } else { 443 };
    let same = |a: &[u8], b: &[u8]| {
        let ((ha, pa), (hb, pb)) = (split_port(a), split_port(b));
        ha.eq_ignore_ascii_case(hb) && pa.unwrap_or(default) == pb.unwrap_or(default)
    };
    if host.is_some_and(|host| !same(host, authority)) {
        return Err(bad(400, "request target and host field disagree"));
    }
    let start = target.start + scheme as u32;
    let span = Span { start, len: end as u32 };
    let rest = Span { start: start + end as u32, len: (rest.len() - end) as u32 };
    Ok((Some(span), rest))
}

#[cfg(test)]
mod tests;
