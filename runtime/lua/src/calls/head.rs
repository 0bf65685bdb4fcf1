//! Header fields and trailers, by FFI.

use std::os::raw::c_int;

use pilotlight_filter::{BadField, Exchange, Fields, Name};

use super::Fast;
use crate::window::{FAILED, NONE, TEXT, Window, given};

const REQUEST: c_int = 0;
const RESPONSE: c_int = 1;
const REQUEST_TRAILERS: c_int = 2;
const RESPONSE_TRAILERS: c_int = 3;

pub(crate) fn fast() -> [Fast; 6] {
    [
        fast!("head_get", get(window, int, text, int) -> int),
        fast!("head_remove", remove(window, int, text, int) -> int),
        fast!("head_set", set(window, int, text, int, text, int) -> int),
        fast!("head_add", add(window, int, text, int, text, int) -> int),
        fast!("head_at", at(window, int, int) -> int),
        fast!("head_nth", nth(window, int, text, int, int) -> int),
    ]
}

#[inline]
fn fields(exchange: &mut Exchange, which: c_int) -> Option<&mut Fields> {
    match which {
        REQUEST => Some(&mut exchange.request.head.fields),
        RESPONSE => Some(exchange.response_fields_mut()),
        REQUEST_TRAILERS => exchange.request.body.trailers_mut(),
        _ => exchange.response.body.trailers_mut(),
    }
}

/// `Host` is not among a request's fields: it is the authority, whatever the protocol.
#[inline]
fn is_host(which: c_int, name: &[u8]) -> bool {
    which == REQUEST && name.len() == 4 && name.eq_ignore_ascii_case(b"host")
}

/// The first value: 1 and the text, or 0.
unsafe fn get(window: *mut Window, which: c_int, name: *const u8, len: c_int) -> c_int {
    // SAFETY: the prelude passes its own window and a Lua string.
    let (window, name) = unsafe { (&mut *window, given(name, len)) };
    let Some(exchange) = window.exchange() else { return NONE };
    let found = if is_host(which, name) {
        Some(exchange.request.head.authority()).filter(|a| !a.is_empty())
    } else {
        fields(exchange, which).and_then(|fields| fields.get(name))
    };
    let Some(value) = found.map(|value| &raw const *value) else { return NONE };
    window.show(value);
    TEXT
}

/// The value at `index` (from 0) among those of a name.
unsafe fn nth(
    window: *mut Window,
    which: c_int,
    name: *const u8,
    len: c_int,
    index: c_int,
) -> c_int {
    // SAFETY: as in `get`.
    let (window, name) = unsafe { (&mut *window, given(name, len)) };
    let Some(exchange) = window.exchange() else { return NONE };
    let found = if is_host(which, name) {
        Some(exchange.request.head.authority()).filter(|a| index == 0 && !a.is_empty())
    } else {
        fields(exchange, which).and_then(|fields| fields.all(name).nth(index as usize))
    };
    let Some(value) = found.map(|value| &raw const *value) else { return NONE };
    window.show(value);
    TEXT
}

fn wrote(window: &mut Window, result: Result<(), BadField>) -> c_int {
    match result {
        Ok(()) => NONE,
        Err(error) => window.fail(&error.to_string()),
    }
}

/// [`Fields::set`] or [`Fields::add`].
type Writer = fn(&mut Fields, &[u8], &[u8]) -> Result<(), BadField>;

fn write(window: &mut Window, which: c_int, name: &[u8], value: &[u8], how: Writer) -> c_int {
    let Some(exchange) = window.exchange() else { return FAILED };
    let result = if is_host(which, name) {
        exchange.request.head.set_authority(value)
    } else if which > RESPONSE && forbidden_in_trailers(Name::of(name)) {
        Err(BadField::Framing)
    } else {
        match which {
            REQUEST | RESPONSE => {}
            REQUEST_TRAILERS => exchange.request.body.begin_trailers(),
            RESPONSE_TRAILERS => exchange.response.body.begin_trailers(),
            _ => return window.fail("this message has no trailers"),
        }
        fields(exchange, which).map_or(Ok(()), |fields| how(fields, name, value))
    };
    wrote(window, result)
}

/// RFC 9110 section 6.5.1: what would change routing, framing or authentication after the fact.
fn forbidden_in_trailers(name: Name) -> bool {
    name.is_framing()
        || name.is_hop_by_hop()
        || matches!(name, Name::Host | Name::Authorization | Name::ContentType | Name::Trailer)
}

unsafe fn set(
    window: *mut Window,
    which: c_int,
    name: *const u8,
    len: c_int,
    value: *const u8,
    value_len: c_int,
) -> c_int {
    // SAFETY: as in `get`.
    let (window, name, value) =
        unsafe { (&mut *window, given(name, len), given(value, value_len)) };
    write(window, which, name, value, Fields::set)
}

unsafe fn add(
    window: *mut Window,
    which: c_int,
    name: *const u8,
    len: c_int,
    value: *const u8,
    value_len: c_int,
) -> c_int {
    // SAFETY: as in `get`.
    let (window, name, value) =
        unsafe { (&mut *window, given(name, len), given(value, value_len)) };
    write(window, which, name, value, Fields::add)
}

unsafe fn remove(window: *mut Window, which: c_int, name: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `get`.
    let (window, name) = unsafe { (&mut *window, given(name, len)) };
    let Some(exchange) = window.exchange() else { return FAILED };
    if is_host(which, name) {
        return window.fail("the host can be replaced, not removed");
    }
    if Name::of(name).is_framing() {
        return wrote(window, Err(BadField::Framing));
    }
    if let Some(fields) = fields(exchange, which) {
        fields.remove(name);
    }
    NONE
}

/// The field at `index`: name and value.
unsafe fn at(window: *mut Window, which: c_int, index: c_int) -> c_int {
    // SAFETY: as in `get`.
    let window = unsafe { &mut *window };
    let Some(exchange) = window.exchange() else { return NONE };
    let host = which == REQUEST && !exchange.request.head.authority().is_empty();
    let found: Option<(*const [u8], *const [u8])> = if host && index == 0 {
        Some((&raw const *b"host".as_slice(), &raw const *exchange.request.head.authority()))
    } else {
        let index = index as usize - usize::from(host);
        fields(exchange, which)
            .and_then(|fields| fields.at(index))
            .map(|(name, value)| (&raw const *name, &raw const *value))
    };
    let Some((name, value)) = found else { return NONE };
    window.show(name);
    (window.ptr2, window.len2) = (value.cast(), value.len() as i32);
    TEXT
}
