//! Fields of `req`, `res` and the log entry.

use std::os::raw::c_int;
use std::sync::Arc;

use pilotlight_filter::{BadField, Exchange};
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::stack::Stack;
use crate::value::{self, Room};
use crate::vm::window_of;
use crate::window::{FAILED, NONE, NUMBER, TEXT, Window, given};

/// Bytes of a property, and of a field of the access log.
const PROPERTY_MAX: u64 = 64 * 1024;

/// The fields by number, in the order in which `message.lua` counts them.
#[derive(Clone, Copy)]
pub(crate) enum Got {
    Text(*const [u8]),
    Number(f64),
    None,
}

pub(crate) type Getter = fn(&mut Exchange) -> Got;

fn text(text: &[u8]) -> Got {
    Got::Text(&raw const *text)
}

fn number(number: f64) -> Got {
    Got::Number(number)
}

/// Name and getter; the prelude gets the names with their indexes.
pub(crate) const GETTERS: &[(&str, Getter)] = &[
    ("method", |e| text(e.request.head.method_text())),
    ("scheme", |e| text(e.request.head.scheme.text().as_bytes())),
    ("host", |e| text(e.request.head.host())),
    ("path", |e| text(e.request.head.path())),
    ("query", |e| e.request.head.query().map_or(Got::None, text)),
    ("version", |e| text(e.request.head.version.text().as_bytes())),
    ("id", |e| text(e.id.as_bytes())),
    ("route", |e| text(e.route.as_bytes())),
    ("upstream", |e| e.upstream.as_ref().map_or(Got::None, |u| text(u.as_bytes()))),
    ("authority", |e| text(e.request.head.authority())),
    ("listener", |e| text(e.peer.listener.as_bytes())),
    ("status", |e| number(f64::from(e.response.head.status))),
    ("from", |e| e.response.origin.map_or(Got::None, |o| text(o.name().as_bytes()))),
    ("started", |e| number(e.stats.started)),
    ("duration", |e| number(e.stats.duration)),
    ("upstream_duration", |e| number(e.stats.upstream)),
    ("received", |e| number(e.stats.received as f64)),
    ("sent", |e| number(e.stats.sent as f64)),
    ("retries", |e| number(f64::from(e.stats.retries))),
];

/// What may be assigned by FFI: name and setter.
pub(crate) type Setter = fn(&mut Exchange, &[u8]) -> Result<(), BadField>;
pub(crate) const SETTERS: &[(&str, Setter)] = &[
    ("method", |e, v| e.request.head.set_method(v)),
    ("host", |e, v| e.request.head.set_authority(v)),
    ("path", |e, v| {
        e.keep_target();
        e.request.head.set_path(v)
    }),
    ("query", |e, v| {
        e.keep_target();
        e.request.head.set_query(Some(v))
    }),
    ("upstream", |e, v| {
        let name = std::str::from_utf8(v).map_err(|_| BadField::Value)?;
        e.upstream = Some(Arc::from(name));
        Ok(())
    }),
];

pub(crate) fn fast() -> [Fast; 7] {
    [
        fast!("field", get(window, int) -> int),
        fast!("field_set", set(window, int, text, int) -> int),
        fast!("query_clear", query_clear(window) -> int),
        fast!("status_set", status_set(window, int) -> int),
        fast!("body_set", body_set(window, int, text, int) -> int),
        fast!("now", now(window) -> double),
        fast!("monotonic", monotonic(window) -> double),
    ]
}

pub(crate) fn slow() -> [Slow; 5] {
    [
        Slow("client", client),
        Slow("tls", tls),
        Slow("property", property),
        Slow("property_set", property_set),
        Slow("log_field", log_field),
    ]
}

unsafe fn get(window: *mut Window, field: c_int) -> c_int {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    let Some((_, getter)) = GETTERS.get(field as usize) else { return NONE };
    let Some(exchange) = window.exchange() else { return NONE };
    match getter(exchange) {
        Got::Text(text) => {
            window.show(text);
            TEXT
        }
        Got::Number(number) => {
            window.num = number;
            NUMBER
        }
        Got::None => NONE,
    }
}

unsafe fn set(window: *mut Window, field: c_int, at: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `get`; a Lua string.
    let (window, value) = unsafe { (&mut *window, given(at, len)) };
    let Some((name, setter)) = SETTERS.get(field as usize) else { return FAILED };
    let Some(exchange) = window.exchange() else { return FAILED };
    match setter(exchange, value) {
        Ok(()) => NONE,
        Err(_) => window.fail(&format!("not a valid {name}")),
    }
}

unsafe fn query_clear(window: *mut Window) -> c_int {
    // SAFETY: as in `get`.
    let window = unsafe { &mut *window };
    if let Some(exchange) = window.exchange() {
        exchange.keep_target();
        // Taking the query away can't fail.
        let _ = exchange.request.head.set_query(None);
    }
    NONE
}

unsafe fn status_set(window: *mut Window, status: c_int) -> c_int {
    // SAFETY: as in `get`.
    let window = unsafe { &mut *window };
    if !(200..=599).contains(&status) {
        return window.fail("a status is a number from 200 to 599");
    }
    if let Some(exchange) = window.exchange() {
        exchange.response.head.status = status as u16;
    }
    NONE
}

/// Replaces a body: `which` is 0 for the request's, 1 for the response's.
unsafe fn body_set(window: *mut Window, which: c_int, at: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `set`.
    let (window, bytes) = unsafe { (&mut *window, given(at, len)) };
    let Some(exchange) = window.exchange() else { return FAILED };
    let (body, fields) = match which {
        0 => (&mut exchange.request.body, &mut exchange.request.head.fields),
        _ => (&mut exchange.response.body, &mut exchange.response.head.fields),
    };
    body.set(bytes::Bytes::copy_from_slice(bytes));
    // The old length is wrong now; the codec writes the body's own.
    fields.remove_known(pilotlight_filter::Name::ContentLength);
    NONE
}

unsafe fn now(window: *mut Window) -> f64 {
    // SAFETY: as in `get`.
    unsafe { (*window).host.services.now() }
}

unsafe fn monotonic(window: *mut Window) -> f64 {
    // SAFETY: as in `get`.
    unsafe { (*window).host.services.monotonic() }
}

/// `client()`: address and port.
unsafe extern "C-unwind" fn client(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return value::nothing(stack) };
    let peer = &exchange.peer;
    stack.push_table(0, 2);
    let unix = peer.port == 0 && peer.address.is_unspecified();
    stack.push_bytes(if unix { b"unix" } else { peer.text.as_bytes() });
    stack.set(-2, b"address");
    stack.push_number(f64::from(peer.port));
    stack.set(-2, b"port");
    1
}

/// `tls()`: what is known of the connection's TLS, or nil.
unsafe extern "C-unwind" fn tls(state: *mut lua_State) -> c_int {
    // SAFETY: as in `client`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return value::nothing(stack) };
    let Some(tls) = &exchange.peer.tls else { return value::nothing(stack) };
    let field = |name: &str, text: &str| {
        stack.push_bytes(text.as_bytes());
        stack.set(-2, name.as_bytes());
    };
    stack.push_table(0, 4);
    field("version", tls.version);
    if let Some(name) = &tls.server_name {
        field("server_name", name);
    }
    if let Some(alpn) = &tls.alpn {
        field("alpn", alpn);
    }
    if let Some(client) = &tls.client {
        stack.push_table(0, 3);
        field("subject", &client.subject);
        field("fingerprint", &client.fingerprint);
        stack.push_table(client.san.len() as c_int, 0);
        for (index, name) in client.san.iter().enumerate() {
            stack.push_bytes(name.as_bytes());
            stack.set_at(-2, index as c_int + 1);
        }
        stack.set(-2, b"san");
        stack.set(-2, b"client");
    }
    1
}

/// `property(name)`: a value that a filter left, or nil.
unsafe extern "C-unwind" fn property(state: *mut lua_State) -> c_int {
    // SAFETY: as in `client`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let name = stack.bytes(1).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default();
    match window.exchange().and_then(|exchange| exchange.property(name).cloned()) {
        Some(value) => value::push(stack, &value),
        None => stack.push_nil(),
    }
    1
}

/// `property_set(name, value)`: true, or nil and why not.
unsafe extern "C-unwind" fn property_set(state: *mut lua_State) -> c_int {
    // SAFETY: as in `client`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let set = value::read(stack, 2, &mut Room::new(PROPERTY_MAX)).and_then(|value| {
        let name = stack.text(1).ok_or("a property's name is a string")?;
        let exchange = window.exchange().ok_or("this request has ended")?;
        let done = exchange.set_property(&name, value);
        if done { Ok(()) } else { Err("too many properties") }
    });
    value::status(stack, set)
}

/// `log_field(name, value)`: a field of the access log.
unsafe extern "C-unwind" fn log_field(state: *mut lua_State) -> c_int {
    const MOST: usize = 64;
    // SAFETY: as in `client`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let set = value::read(stack, 2, &mut Room::new(PROPERTY_MAX)).and_then(|value| {
        let name = stack.text(1).ok_or("a field's name is a string")?;
        let exchange = window.exchange().ok_or("this request has ended")?;
        exchange.log.retain(|(key, _)| **key != *name);
        if exchange.log.len() >= MOST {
            return Err("too many fields in the log entry");
        }
        exchange.log.push((name.into(), value));
        Ok(())
    });
    value::status(stack, set)
}
