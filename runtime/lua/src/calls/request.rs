//! Heads as they came; arguments as a whole table.

use std::os::raw::c_int;

use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::escape::unescaped;
use crate::stack::{Kind, Stack};
use crate::watchdog::stopping;
use crate::window::{NONE, TEXT, Window};

/// Fields or arguments of one table, unless a script says how many.
const MAX: f64 = 100.0;

pub(crate) fn fast() -> [Fast; 1] {
    [fast!("raw_header", raw_header(window, int) -> int)]
}

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("args_table", args_table)]
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
pub(super) fn most(stack: Stack, at: c_int) -> usize {
    match stack.number(at) {
        Some(max) if max <= 0.0 => usize::MAX,
        given => given.unwrap_or(MAX) as usize,
    }
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
