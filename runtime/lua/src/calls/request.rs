//! Heads as they came; fields and arguments as whole tables.

use std::borrow::Cow;
use std::os::raw::c_int;

use pilotlight_filter::{Exchange, Fields, Name};
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::escape::unescaped;
use crate::stack::{Kind, Stack};
use crate::value::nothing;
use crate::vm::{FIELDS, window_of};
use crate::watchdog::stopping;
use crate::window::{NONE, TEXT, Window};

/// Fields and arguments of one table, unless a script says how many.
const MAX: f64 = 100.0;
/// Names up to this long are made lower case in place.
const SHORT: usize = 64;

pub(crate) fn fast() -> [Fast; 1] {
    [fast!("raw_header", raw_header(window, int) -> int)]
}

pub(crate) fn slow() -> [Slow; 2] {
    [Slow("head_table", head_table), Slow("args_table", args_table)]
}

/// The head as it came; as HTTP/1 writes it, where it came in another form.
unsafe fn raw_header(window: *mut Window, no_line: c_int) -> c_int {
    // SAFETY: the prelude passes its own window.
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

/// A field that stands in no list, since the gateway writes it, or hides it from other hops.
type Own<'a> = (Name, &'static [u8], Cow<'a, [u8]>);

fn own_fields(exchange: &Exchange, which: f64, told: bool) -> [Option<Own<'_>>; 3] {
    let untold = |fields: Option<&Fields>| {
        fields.is_none_or(|fields| fields.known(Name::ContentLength).is_none())
    };
    let length_field = |length: u64| -> Own<'_> {
        (Name::ContentLength, b"content-length", length.to_string().into_bytes().into())
    };
    if which == 0.0 {
        let head = &exchange.request.head;
        let host: &[u8] = if head.sent().is_empty() { b"host" } else { b"Host" };
        // A body that a script has set has a length that no client told.
        let length = exchange.request.body.length().filter(|length| *length > 0);
        return [
            (told && !head.authority().is_empty())
                .then(|| (Name::Host, host, head.authority().into())),
            length.filter(|_| untold(Some(&head.fields))).map(length_field),
            None,
        ];
    }
    let length = exchange.response.origin.and_then(|_| exchange.response.body.length());
    let chunked = told && length.is_none() && exchange.request.head.version.text() == "1.1";
    [
        length.filter(|_| untold(exchange.response_fields())).map(length_field),
        Some((Name::Connection, b"connection", connection(exchange).into())),
        chunked.then(|| {
            let value: &[u8] = b"chunked";
            (Name::TransferEncoding, &b"transfer-encoding"[..], value.into())
        }),
    ]
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

/// A table of fields that is being filled, on top of the stack.
struct Table {
    stack: Stack,
    /// Names as they came, not in lower case.
    raw: bool,
    /// Fields that it may have, and that there were.
    max: usize,
    count: usize,
}

impl Table {
    fn put(&mut self, id: Name, name: &[u8], value: &[u8]) {
        self.count += 1;
        if self.count > self.max {
            return;
        }
        let (mut room, long);
        let key = match (self.raw, id) {
            (true, _) => name,
            (false, Name::Other) if name.len() <= SHORT => {
                room = [0; SHORT];
                let room = &mut room[..name.len()];
                room.copy_from_slice(name);
                room.make_ascii_lowercase();
                room
            }
            (false, Name::Other) => {
                long = name.to_ascii_lowercase();
                &long
            }
            (false, known) => known.text().as_bytes(),
        };
        if !self.stack.put_text(key, value) {
            self.stack.push_bytes(value);
            self.stack.append(key);
        }
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
    let of_request = which == 0.0;
    let own = own_fields(exchange, which, stack.truth(4));
    let fields = match of_request {
        true => Some(&exchange.request.head.fields),
        false => exchange.response_fields(),
    };
    let own = || own.iter().flatten().map(|(id, name, value)| (*id, *name, &value[..]));
    let listed = || fields.into_iter().flat_map(Fields::iter);
    // What ends at this hop is the client's word all the same.
    let hidden = || fields.into_iter().filter(|_| of_request).flat_map(Fields::hidden);
    let room = fields.map_or(0, Fields::len) + own().count() + hidden().count();
    stack.push_table(0, room.min(max) as c_int);
    let mut table = Table { stack, raw, max, count: 0 };
    if of_request {
        own().for_each(|(id, name, value)| table.put(id, name, value));
    }
    hidden().for_each(|(name, value)| table.put(Name::of(name), name, value));
    listed().for_each(|(id, name, value)| table.put(id, name, value));
    if !of_request {
        own().for_each(|(id, name, value)| table.put(id, name, value));
    }
    let count = table.count;
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
