//! Requests and their fields as whole tables; where requests go instead.

use std::os::raw::{c_int, c_void};
use std::time::Duration;

use mlua_sys::lua_State;
use pilotlight_filter::abi::Value;
use pilotlight_filter::{Exchange, Fields, Name, Pick};

use super::{Fast, Slow};
use crate::escape::unescaped;
use crate::stack::{Kind, Stack};
use crate::value::{nothing, refuse, status};
use crate::vm::{FIELDS, window_of};
use crate::watchdog::stopping;
use crate::window::{NONE, NUMBER, TEXT, Window};

/// Fields and arguments of one table, unless a script says how many.
const MAX: f64 = 100.0;
/// The name of the property by which a subrequest finds what its parent handed it.
pub(crate) const HANDED: &str = "lua.handed";

pub(crate) fn fast() -> [Fast; 2] {
    [
        Fast("parent", "int (*)(pl_window *)", parent as *const c_void),
        Fast("raw_header", "int (*)(pl_window *, int)", raw_header as *const c_void),
    ]
}

pub(crate) fn slow() -> [Slow; 6] {
    [
        Slow("head_table", head_table),
        Slow("args_table", args_table),
        Slow("reroute", reroute),
        Slow("handed", handed),
        Slow("pick", pick),
        Slow("last_failure", last_failure),
    ]
}

/// Whether this is a subrequest; `num` is its parent's serial.
unsafe extern "C" fn parent(window: *mut Window) -> c_int {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    let Some(parent) = window.exchange().and_then(|exchange| exchange.parent) else { return NONE };
    window.num = parent.serial as f64;
    NUMBER
}

/// The head as HTTP/1 writes it, whatever it came in.
unsafe extern "C" fn raw_header(window: *mut Window, no_line: c_int) -> c_int {
    // SAFETY: as in `parent`.
    let window = unsafe { &mut *window };
    let Some(exchange) = window.exchange() else { return NONE };
    let head = &exchange.request.head;
    let mut text = Vec::with_capacity(512);
    if no_line == 0 {
        text.extend_from_slice(head.method_text());
        text.push(b' ');
        text.extend_from_slice(head.path());
        if let Some(query) = head.query() {
            text.push(b'?');
            text.extend_from_slice(query);
        }
        text.extend_from_slice(b" HTTP/");
        text.extend_from_slice(head.version.text().as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    let mut line = |name: &[u8], value: &[u8]| {
        for part in [name, b": ", value, b"\r\n"] {
            text.extend_from_slice(part);
        }
    };
    if !head.authority().is_empty() {
        line(b"Host", head.authority());
    }
    head.fields.iter().for_each(|(_, name, value)| line(name, value));
    text.extend_from_slice(b"\r\n");
    window.show_held(text);
    TEXT
}

/// The most entries: a number, or 0 for all.
fn most(stack: Stack, at: c_int) -> usize {
    match stack.number(at) {
        Some(max) if max <= 0.0 => usize::MAX,
        given => given.unwrap_or(MAX) as usize,
    }
}

/// `head_table(which, max, raw)`: all fields by name, in lower case unless `raw`; a repeated name
/// has a list. Then "truncated" when there were more than `max` (100; 0: no limit).
unsafe extern "C-unwind" fn head_table(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let (which, max, raw) = (stack.number(1).unwrap_or_default(), most(stack, 2), stack.truth(3));
    let Some(exchange) = window.exchange() else { return nothing(stack) };
    let own = if which == 0.0 { framing(exchange) } else { Vec::new() };
    let fields: Option<&Fields> = match which as i32 {
        0 => Some(&exchange.request.head.fields),
        _ => exchange.response_fields(),
    };
    let told = own.iter().map(|(name, value)| (*name, &value[..]));
    // What the codecs frame themselves stands among them as the client wrote it.
    let listed = fields.into_iter().flat_map(|fields| fields.iter());
    let listed = listed.filter(|(id, ..)| which != 0.0 || *id != Name::ContentLength);
    let all: Vec<(&[u8], &[u8])> = told.chain(listed.map(|(_, n, v)| (n, v))).collect();
    let count = all.len();
    stack.push_table(0, count.min(max) as c_int);
    for (name, value) in all.into_iter().take(max) {
        stack.push_bytes(value);
        match raw {
            true => stack.append(name),
            false => stack.append(&name.to_ascii_lowercase()),
        }
    }
    if !raw {
        stack.push_kept(FIELDS);
        stack.set_metatable(-2);
    }
    if count > max {
        stack.push_bytes(b"truncated");
        return 2;
    }
    1
}

/// A request's fields that the codecs keep for themselves, as the client sent them.
fn framing(exchange: &Exchange) -> Vec<(&'static [u8], Vec<u8>)> {
    let (head, body) = (&exchange.request.head, &exchange.request.body);
    let mut own: Vec<(&'static [u8], Vec<u8>)> = Vec::new();
    if !head.authority().is_empty() {
        own.push((b"host", head.authority().to_vec()));
    }
    match body.length() {
        Some(0) => {}
        Some(length) => own.push((b"Content-Length", length.to_string().into_bytes())),
        None if is_chunked(exchange) => own.push((b"Transfer-Encoding", b"chunked".to_vec())),
        None => {}
    }
    if head.expects {
        own.push((b"Expect", b"100-continue".to_vec()));
    }
    own
}

/// Whether a request's body comes in chunks of HTTP/1.1.
pub(super) fn is_chunked(exchange: &Exchange) -> bool {
    let body = &exchange.request.body;
    let version = exchange.request.head.version.text();
    version == "1.1" && body.is_streaming() && body.length().is_none()
}

/// `args_table(text, max, into)`: decoded arguments; one without `=` is true, a repeated one has a
/// list. Then "truncated" when there were more than `max` (100; 0: no limit).
unsafe extern "C-unwind" fn args_table(state: *mut lua_State) -> c_int {
    // SAFETY: as in `head_table`.
    let stack = unsafe { Stack::new(state) };
    let (text, max) = (stack.bytes(1).unwrap_or_default(), most(stack, 2));
    match stack.kind(3) {
        Kind::Table => stack.push_copy(3),
        _ => stack.push_table(0, 4),
    }
    let mut count = 0;
    for part in text.split(|byte| *byte == b'&') {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let key = unescaped(halves.next().unwrap_or_default(), &stopping);
        let value = halves.next();
        if key.is_empty() {
            continue;
        }
        if count == max {
            stack.push_bytes(b"truncated");
            return 2;
        }
        if stopping() {
            break;
        }
        count += 1;
        match value {
            Some(value) => stack.push_bytes(&unescaped(value, &stopping)),
            None => stack.push_bool(true),
        }
        stack.append(&key);
    }
    1
}

/// `reroute(name)` or `reroute(nil, path, query)`: where the request goes, once its phase has ended
/// with that. True, or nil and why not.
unsafe extern "C-unwind" fn reroute(state: *mut lua_State) -> c_int {
    // SAFETY: as in `head_table`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return refuse(stack, "no request found") };
    if let Some(name) = stack.text(1) {
        exchange.reroute = Some(name.into());
        return status(stack, Ok(()));
    }
    exchange.reroute = None;
    let path = stack.bytes(2).unwrap_or_default();
    let head = &mut exchange.request.head;
    let set = head.set_path(path).and_then(|()| head.set_query(stack.bytes(3)));
    status(stack, set.map_err(|_| "unsafe uri"))
}

/// `handed()`: the number under which the parent of a subrequest has put what it hands over.
unsafe extern "C-unwind" fn handed(state: *mut lua_State) -> c_int {
    // SAFETY: as in `head_table`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    match window.exchange().and_then(|exchange: &mut Exchange| exchange.property(HANDED)) {
        Some(Value::Int(number)) => stack.push_number(*number as f64),
        _ => stack.push_nil(),
    }
    1
}

/// `pick({ host, port, server_name, tls, connect, read, more_tries })`: the server of the next try.
unsafe extern "C-unwind" fn pick(state: *mut lua_State) -> c_int {
    // SAFETY: as in `head_table`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return refuse(stack, "no request found") };
    let number = |key: &str| {
        stack.get(1, key);
        let number = stack.number(-1).filter(|n| n.is_finite() && *n >= 0.0);
        stack.pop(1);
        number
    };
    let text = |key: &str| {
        stack.get(1, key);
        let text = stack.text(-1);
        stack.pop(1);
        text.map(Box::<str>::from)
    };
    let seconds = |key: &str| number(key).map(|s| Duration::from_secs_f64(s.min(86_400.0)));
    stack.get(1, "tls");
    let tls = (stack.kind(-1) == Kind::Bool).then(|| stack.truth(-1));
    stack.pop(1);
    exchange.pick = Some(Box::new(Pick {
        host: text("host").unwrap_or_default(),
        port: number("port").map_or(0, |port| port as u16),
        tls,
        server_name: text("server_name"),
        connect: seconds("connect"),
        read: seconds("read"),
        more_tries: number("more_tries").map_or(0, |tries| tries as u32),
    }));
    status(stack, Ok(()))
}

/// `last_failure()`: how the try before went wrong, "failed" or "next", and its status; nil at first.
unsafe extern "C-unwind" fn last_failure(state: *mut lua_State) -> c_int {
    // SAFETY: as in `head_table`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(failure) = window.exchange().and_then(|exchange| exchange.failure) else {
        return nothing(stack);
    };
    stack.push_bytes(if failure.answered { b"next" } else { b"failed" });
    stack.push_number(f64::from(failure.status));
    2
}
