//! Header maps of an exchange: fields and pseudo-headers in one list, as HTTP/2 shows them.

use pilotlight_filter::{BadField, Body, Exchange, Fields, Method, Name, Scheme};

use super::abi::{Status, map};
use super::calling::List;
use super::maps::{self, Pair};

/// Copies the value of `name` to `out`. Repeated fields are joined, but `set-cookie`, of which it
/// is the first.
pub(crate) fn get(exchange: &mut Exchange, map: u32, name: &[u8], out: &mut Vec<u8>) -> Status {
    if name.first() == Some(&b':') {
        return pseudo(exchange, map, name, out);
    }
    let Some(fields) = fields(exchange, map) else { return Status::NotFound };
    let (separator, only_first): (&[u8], bool) = match Name::of(name) {
        Name::SetCookie => (b"", true),
        Name::Cookie => (b"; ", false),
        _ => (b", ", false),
    };
    let mut found = false;
    for value in fields.all(name) {
        if found {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(value);
        found = true;
        if only_first {
            break;
        }
    }
    if found { Status::Ok } else { Status::NotFound }
}

/// Copies the whole map to `out`.
pub(crate) fn pairs(exchange: &mut Exchange, map: u32, out: &mut Vec<u8>) -> Status {
    let mut target = Vec::new();
    let pseudo = pseudo_pairs(exchange, map, &mut target);
    let Some(fields) = fields(exchange, map) else { return Status::NotFound };
    let all: Vec<Pair<'_>> =
        pseudo.iter().copied().flatten().chain(fields.iter().map(|(_, n, v)| (n, v))).collect();
    if maps::encoded_len(all.iter().copied()) > maps::BYTES_MAX {
        return Status::BadArgument;
    }
    maps::encode(all.iter().copied(), out);
    Status::Ok
}

/// Bytes of all names and values.
pub(crate) fn size(exchange: &mut Exchange, map: u32) -> Option<u32> {
    let mut target = Vec::new();
    let pseudo = pseudo_pairs(exchange, map, &mut target);
    let fields = fields(exchange, map)?;
    let all = pseudo.iter().copied().flatten().chain(fields.iter().map(|(_, n, v)| (n, v)));
    Some(all.map(|(name, value)| (name.len() + value.len()) as u32).sum())
}

/// Whether trailers are there.
pub(crate) fn is_there(exchange: &mut Exchange, map: u32) -> bool {
    fields(exchange, map).is_some()
}

/// The value of `name` in a call's answer.
pub(crate) fn get_of(list: &List, name: &[u8], out: &mut Vec<u8>) -> Status {
    let named = list.iter().filter(|(key, _)| key.as_bytes().eq_ignore_ascii_case(name));
    let mut found = false;
    for (_, value) in named {
        if std::mem::replace(&mut found, true) {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(value);
    }
    if found { Status::Ok } else { Status::NotFound }
}

/// All of a call's answer's map.
pub(crate) fn pairs_of(list: &List, out: &mut Vec<u8>) -> Status {
    let pairs = list.iter().map(|(name, value)| (name.as_bytes(), &value[..]));
    if maps::encoded_len(pairs.clone()) > maps::BYTES_MAX {
        return Status::BadArgument;
    }
    maps::encode(pairs, out);
    Status::Ok
}

/// Bytes of its names and values.
pub(crate) fn size_of(list: &List) -> u32 {
    list.iter().map(|(name, value)| (name.len() + value.len()) as u32).sum()
}

/// How many pairs there are.
pub(crate) fn count(exchange: &Exchange, map: u32) -> u32 {
    match map {
        map::REQUEST_HEADERS => 4 + exchange.request.head.fields.len() as u32,
        map::RESPONSE_HEADERS => 1 + exchange.response.head.fields.len() as u32,
        map::REQUEST_TRAILERS => exchange.request.body.trailers().map_or(0, Fields::len) as u32,
        _ => exchange.response.body.trailers().map_or(0, Fields::len) as u32,
    }
}

/// Adds a pair.
pub(crate) fn add(exchange: &mut Exchange, map: u32, name: &[u8], value: &[u8]) -> Status {
    write(exchange, map, name, value, Fields::add)
}

/// Replaces all pairs of a name by one.
pub(crate) fn replace(exchange: &mut Exchange, map: u32, name: &[u8], value: &[u8]) -> Status {
    write(exchange, map, name, value, Fields::set)
}

/// Drops all pairs of a name. Pseudo-headers stay.
pub(crate) fn remove(exchange: &mut Exchange, map: u32, name: &[u8]) -> Status {
    if Name::of(name) == Name::ContentLength
        && let Some(body) = body(exchange, map)
    {
        body.forget_length();
    }
    match fields(exchange, map) {
        Some(fields) => {
            fields.remove(name);
            Status::Ok
        }
        None => Status::BadArgument,
    }
}

/// Replaces the whole map. Pseudo-headers that are not in the list stay as they are, and fields
/// that frame the message stay when they are.
pub(crate) fn set_all(exchange: &mut Exchange, map: u32, list: &[Pair<'_>]) -> Status {
    let Some(old) = fields(exchange, map) else { return Status::BadArgument };
    old.retain(|id, name, _| {
        id.is_framing() && list.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    });
    for (name, value) in list {
        let status = add(exchange, map, name, value);
        if status != Status::Ok {
            return status;
        }
    }
    Status::Ok
}

type Write = fn(&mut Fields, &[u8], &[u8]) -> Result<(), BadField>;

fn write(exchange: &mut Exchange, map: u32, name: &[u8], value: &[u8], how: Write) -> Status {
    if name.first() == Some(&b':') {
        return set_pseudo(exchange, map, name, value);
    }
    // Trailers can be begun; heads are there.
    match map {
        map::REQUEST_TRAILERS => exchange.request.body.begin_trailers(),
        map::RESPONSE_TRAILERS => exchange.response.body.begin_trailers(),
        _ => {}
    }
    let Some(fields) = fields(exchange, map) else { return Status::BadArgument };
    match how(fields, name, maps::trimmed(value)) {
        Ok(()) => Status::Ok,
        // The gateway frames messages itself: what a filter believes of the length is moot.
        Err(BadField::Framing) => Status::Ok,
        Err(_) => Status::BadArgument,
    }
}

fn fields(exchange: &mut Exchange, map: u32) -> Option<&mut Fields> {
    match map {
        map::REQUEST_HEADERS => Some(&mut exchange.request.head.fields),
        map::RESPONSE_HEADERS if exchange.response.origin.is_some() => {
            Some(&mut exchange.response.head.fields)
        }
        map::REQUEST_TRAILERS => exchange.request.body.trailers_mut(),
        map::RESPONSE_TRAILERS => exchange.response.body.trailers_mut(),
        _ => None,
    }
}

fn body(exchange: &mut Exchange, map: u32) -> Option<&mut Body> {
    match map {
        map::REQUEST_HEADERS => Some(&mut exchange.request.body),
        map::RESPONSE_HEADERS => Some(&mut exchange.response.body),
        _ => None,
    }
}

fn pseudo(exchange: &Exchange, map: u32, name: &[u8], out: &mut Vec<u8>) -> Status {
    let head = &exchange.request.head;
    match (map, name) {
        (map::REQUEST_HEADERS, b":method") => out.extend_from_slice(head.method_text()),
        (map::REQUEST_HEADERS, b":path") => target(exchange, out),
        (map::REQUEST_HEADERS, b":authority") => out.extend_from_slice(head.authority()),
        (map::REQUEST_HEADERS, b":scheme") => out.extend_from_slice(head.scheme.text().as_bytes()),
        (map::RESPONSE_HEADERS, b":status") if exchange.response.origin.is_some() => {
            out.extend_from_slice(exchange.response.head.status.to_string().as_bytes());
        }
        _ => return Status::NotFound,
    }
    Status::Ok
}

/// Copies path and query to `out`.
pub(crate) fn target(exchange: &Exchange, out: &mut Vec<u8>) {
    let head = &exchange.request.head;
    out.extend_from_slice(head.path());
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

/// The pseudo-headers of a map; `text` keeps what has to be put together.
fn pseudo_pairs<'a>(exchange: &Exchange, map: u32, text: &'a mut Vec<u8>) -> [Option<Pair<'a>>; 4] {
    const REQUEST: [&[u8]; 4] = [b":method", b":path", b":authority", b":scheme"];
    let names: &[&'static [u8]] = match map {
        map::REQUEST_HEADERS => &REQUEST,
        map::RESPONSE_HEADERS => &[b":status"],
        _ => &[],
    };
    let mut ends = [0; 4];
    for (name, end) in names.iter().zip(&mut ends) {
        pseudo(exchange, map, name, text);
        *end = text.len();
    }
    let text: &'a [u8] = text;
    let mut pairs = [None; 4];
    let mut start = 0;
    for ((name, end), pair) in names.iter().zip(ends).zip(&mut pairs) {
        *pair = Some((*name, &text[start..end]));
        start = end;
    }
    pairs
}

fn set_pseudo(exchange: &mut Exchange, map: u32, name: &[u8], value: &[u8]) -> Status {
    let head = &mut exchange.request.head;
    let done = match (map, name) {
        (map::REQUEST_HEADERS, b":method") => head.set_method(value),
        (map::REQUEST_HEADERS, b":authority") => head.set_authority(value),
        (map::REQUEST_HEADERS, b":path") => {
            let cut = value.iter().position(|b| *b == b'?');
            let (path, query) = match cut {
                Some(at) => (&value[..at], Some(&value[at + 1..])),
                None => (value, None),
            };
            // `OPTIONS *` and `CONNECT` have no path of the common kind: writing back what was
            // read changes nothing.
            if path == head.path() { Ok(()) } else { head.set_path(path) }
                .and_then(|()| head.set_query(query))
        }
        (map::REQUEST_HEADERS, b":scheme") => {
            head.scheme = if value == b"https" { Scheme::Https } else { Scheme::Http };
            Ok(())
        }
        (map::RESPONSE_HEADERS, b":status") => return set_status(exchange, value),
        _ => return Status::BadArgument,
    };
    match done {
        Ok(()) if head.method() != Method::Connect || !head.authority().is_empty() => Status::Ok,
        _ => Status::BadArgument,
    }
}

fn set_status(exchange: &mut Exchange, value: &[u8]) -> Status {
    match std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
        Some(status @ 200..=599) if exchange.response.origin.is_some() => {
            exchange.response.head.status = status;
            Status::Ok
        }
        _ => Status::BadArgument,
    }
}
