//! Requests and their fields as whole tables; where requests go instead.

use std::ffi::OsStr;
use std::io;
use std::os::raw::{c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use mlua_sys::lua_State;
use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{Spilled, Wait};
use pilotlight_filter::{Exchange, Fields, Name, Pick};

use super::{Fast, Slow};
use crate::escape::unescaped;
use crate::stack::{Kind, Stack};
use crate::value::{nothing, refuse, status};
use crate::vm::{FIELDS, window_of};
use crate::wait::{Answer, Waiter};
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

pub(crate) fn slow() -> [Slow; 8] {
    [
        Slow("head_table", head_table),
        Slow("args_table", args_table),
        Slow("reroute", reroute),
        Slow("handed", handed),
        Slow("pick", pick),
        Slow("spill", spill),
        Slow("passing", passing),
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

/// The head as it came; as HTTP/1 writes it, where it came in another form.
unsafe extern "C" fn raw_header(window: *mut Window, no_line: c_int) -> c_int {
    // SAFETY: as in `parent`.
    let window = unsafe { &mut *window };
    let Some(exchange) = window.exchange() else { return NONE };
    let head = &exchange.request.head;
    if !head.sent().is_empty() {
        let mut sent = head.sent();
        if no_line != 0 {
            let line = memchr::memchr(b'\n', sent).map_or(sent.len(), |feed| feed + 1);
            sent = &sent[line..];
        }
        let sent = &raw const *sent;
        window.show(sent);
        return TEXT;
    }
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

/// What stands in no list of fields, since the gateway writes it, or hides it from other hops.
fn own_fields(exchange: &Exchange, which: f64, told: bool) -> Vec<(&'static [u8], Vec<u8>)> {
    let mut own: Vec<(&[u8], Vec<u8>)> = Vec::new();
    let untold = |fields: Option<&Fields>| {
        fields.is_none_or(|fields| fields.known(Name::ContentLength).is_none())
    };
    if which == 0.0 {
        let head = &exchange.request.head;
        if !head.authority().is_empty() && told {
            let name = if head.sent().is_empty() { b"host" } else { b"Host" };
            own.push((name, head.authority().to_vec()));
        }
        // A body that a script has set has a length that no client told.
        let length = exchange.request.body.length().filter(|length| *length > 0);
        if let Some(length) = length.filter(|_| untold(Some(&head.fields))) {
            own.push((b"content-length", length.to_string().into()));
        }
        return own;
    }
    let length = exchange.response.origin.and_then(|_| exchange.response.body.length());
    if let Some(length) = length.filter(|_| untold(exchange.response_fields())) {
        own.push((b"content-length", length.to_string().into()));
    }
    own.push((b"connection", connection(exchange).into()));
    if told && length.is_none() && exchange.request.head.version.text() == "1.1" {
        own.push((b"transfer-encoding", b"chunked".into()));
    }
    own
}

/// What a response says of its connection.
fn connection(exchange: &Exchange) -> &'static [u8] {
    let head = &exchange.request.head;
    let says = |word: &[u8]| {
        let mut fields =
            head.fields.hidden().filter(|(n, _)| n.eq_ignore_ascii_case(b"connection"));
        fields.any(|(_, value)| {
            value.split(|b| *b == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(word))
        })
    };
    match head.version.text() {
        _ if exchange.response.head.status == 101 => b"upgrade",
        "1.0" if !says(b"keep-alive") => b"close",
        "1.1" if says(b"close") => b"close",
        _ => b"keep-alive",
    }
}

/// `head_table(which, max, raw, told)`: all fields by name, in lower case unless `raw`; a repeated name
/// has a list. Then "truncated" and how many there are when that is more than `max` (100; 0: no limit).
/// `told`: of the request's, its host; of the response's, that it is chunked.
unsafe extern "C-unwind" fn head_table(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let (which, max, raw) = (stack.number(1).unwrap_or_default(), most(stack, 2), stack.truth(3));
    let Some(exchange) = window.exchange() else { return nothing(stack) };
    let own = own_fields(exchange, which, stack.truth(4));
    let fields: Option<&Fields> = match which as i32 {
        0 => Some(&exchange.request.head.fields),
        _ => exchange.response_fields(),
    };
    // What ends at this hop is the client's word all the same.
    let hop = || fields.into_iter().filter(|_| which == 0.0).flat_map(Fields::hidden);
    let count = fields.map_or(0, Fields::len) + own.len() + hop().count();
    stack.push_table(0, count.min(max) as c_int);
    let mut lower = [0; 64];
    let own = own.iter().map(|(name, value)| (*name, &value[..]));
    let all = fields.into_iter().flat_map(|fields| fields.iter().map(|(_, n, v)| (n, v)));
    let (first, last) = if which == 0.0 { (Some(own), None) } else { (None, Some(own)) };
    let first = first.into_iter().flatten().chain(hop());
    for (name, value) in first.chain(all).chain(last.into_iter().flatten()).take(max) {
        stack.push_bytes(value);
        match raw {
            true => stack.append(name),
            false => match lower.get_mut(..name.len()) {
                Some(room) => {
                    room.copy_from_slice(name);
                    room.make_ascii_lowercase();
                    stack.append(room);
                }
                None => stack.append(&name.to_ascii_lowercase()),
            },
        }
    }
    if !raw {
        stack.push_kept(FIELDS);
        stack.set_metatable(-2);
    }
    if count > max {
        stack.push_bytes(b"truncated");
        stack.push_number(count as f64);
        return 3;
    }
    1
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
    let parts = text.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    for (count, part) in parts.enumerate() {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let key = unescaped(halves.next().unwrap_or_default(), &stopping);
        let value = halves.next();
        if count == max {
            stack.push_bytes(b"truncated");
            return 2;
        }
        if stopping() {
            break;
        }
        // One without a name counts, but is not shown.
        if key.is_empty() {
            continue;
        }
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

/// A body on its way into a file.
struct Spilling(Wait<io::Result<Spilled>>);

impl Waiter for Spilling {
    fn poll(&mut self, cx: &mut Context<'_>, exchange: Option<&mut Exchange>) -> Poll<Answer> {
        Poll::Ready(match ready!(self.0.as_mut().poll(cx)) {
            Ok(Spilled { path, hold }) => {
                if let Some(exchange) = exchange {
                    exchange.kept.push(hold);
                }
                Answer::Text(path.into_vec().into())
            }
            Err(error) => Answer::Refused(error.to_string()),
        })
    }
}

/// `spill()`: leaves a wait for the path of a file with the request's body, which goes with the
/// exchange; false when there is nothing to write.
unsafe extern "C-unwind" fn spill(state: *mut lua_State) -> c_int {
    // SAFETY: as in `head_table`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let body = window.exchange().and_then(|exchange| exchange.request.body.whole());
    let body = body.filter(|body| !body.is_empty()).map(Bytes::copy_from_slice);
    stack.push_bool(body.is_some());
    if let Some(body) = body {
        window.host.pending = Some(Box::new(Spilling(window.host.services.spill(body))));
    }
    1
}

/// `passing(path)`: the file is removed when the exchange ends.
unsafe extern "C-unwind" fn passing(state: *mut lua_State) -> c_int {
    // SAFETY: as in `head_table`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let file = stack.bytes(1).map(|path| PathBuf::from(OsStr::from_bytes(path)));
    let hold = file.map(|file| window.host.services.passing(file));
    if let (Some(hold), Some(exchange)) = (hold, window.exchange()) {
        exchange.kept.push(hold);
    }
    0
}
