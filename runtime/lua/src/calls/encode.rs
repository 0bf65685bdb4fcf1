//! What `ngx` has for text: base64, URIs, arguments, SQL.

use std::os::raw::c_int;

use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::base64::{self, Reader};
use crate::escape;
use crate::stack::{Kind, Stack};
use crate::value::refuse;
use crate::watchdog::stopping;
use crate::window::{NONE, TEXT, Window, given};

/// Work between two looks at the clock.
const PIECE: usize = 64 * 1024;

pub(crate) fn fast() -> [Fast; 5] {
    [
        fast!("base64_write", base64_write(window, text, int, int, int) -> int),
        fast!("base64_read", base64_read(window, text, int, int) -> int),
        fast!("uri_escape", uri_escape(window, text, int, int) -> int),
        fast!("uri_unescape", uri_unescape(window, text, int) -> int),
        fast!("sql_quote", sql_quote(window, text, int) -> int),
    ]
}

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("args_encode", args_encode)]
}

/// In one of two alphabets (1: for URLs), with padding or not.
unsafe fn base64_write(
    window: *mut Window,
    at: *const u8,
    len: c_int,
    is_url: c_int,
    is_padded: c_int,
) -> c_int {
    // SAFETY: the prelude passes its own window and a Lua string.
    let (window, bytes) = unsafe { (&mut *window, given(at, len)) };
    let alphabet = if is_url == 1 { base64::URL } else { base64::PLAIN };
    window.fill(|out| base64::encode(out, bytes, alphabet, is_padded == 1, &stopping))
}

/// As the prelude numbers the readers.
const READERS: [Reader; 4] = [Reader::Strict, Reader::Nginx, Reader::Url, Reader::Mime];

unsafe fn base64_read(window: *mut Window, at: *const u8, len: c_int, reader: c_int) -> c_int {
    // SAFETY: as in `base64_write`.
    let (window, text) = unsafe { (&mut *window, given(at, len)) };
    let Some(reader) = READERS.get(reader as usize) else { return NONE };
    let Some(bytes) = base64::decode(text, *reader, &stopping) else { return NONE };
    window.show_held(bytes);
    TEXT
}

/// `kind` is the second argument of `ngx.escape_uri`.
unsafe fn uri_escape(window: *mut Window, at: *const u8, len: c_int, kind: c_int) -> c_int {
    // SAFETY: as in `base64_write`.
    let (window, text) = unsafe { (&mut *window, given(at, len)) };
    window.fill(|out| in_pieces(text, |piece| escape::uri(out, piece, kind as usize)))
}

unsafe fn uri_unescape(window: *mut Window, at: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `base64_write`.
    let (window, text) = unsafe { (&mut *window, given(at, len)) };
    window.fill(|out| escape::unescape(out, text, &stopping))
}

unsafe fn sql_quote(window: *mut Window, at: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `base64_write`.
    let (window, text) = unsafe { (&mut *window, given(at, len)) };
    window.fill(|out| {
        out.push(b'\'');
        let done = in_pieces(text, |piece| escape::sql(out, piece));
        out.push(b'\'');
        done
    })
}

/// Does a text piece by piece; false when it was stopped.
fn in_pieces(text: &[u8], mut each: impl FnMut(&[u8])) -> bool {
    text.chunks(PIECE).all(|piece| {
        each(piece);
        !stopping()
    })
}

/// `args_encode(table)`: a query, or nil and what can't be in one.
unsafe extern "C-unwind" fn args_encode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let mut out = Vec::new();
    stack.push_nil();
    while stack.next(1) {
        if stack.kind(-2) != Kind::Str {
            return refuse(stack, "attempt to use a non-string key in the \"args\" option table");
        }
        let key = stack.bytes(-2).unwrap_or_default();
        let written = match stack.kind(-1) {
            Kind::Table => write_values(stack, &mut out, key),
            _ => write_value(stack, &mut out, key),
        };
        if let Err(kind) = written {
            return refuse(stack, &format!("attempt to use {kind} as query arg value"));
        }
        stack.pop(1);
        if stopping() {
            break;
        }
    }
    stack.push_bytes(&out);
    1
}

/// One pair for each value of the list (or table) on top.
fn write_values(stack: Stack, out: &mut Vec<u8>, key: &[u8]) -> Result<(), &'static str> {
    let table = stack.top();
    stack.push_nil();
    while stack.next(table) {
        write_value(stack, out, key)?;
        stack.pop(1);
        if stopping() {
            break;
        }
    }
    stack.set_top(table);
    Ok(())
}

/// The pair of a key and the value on top; or the value's type when it can't be one.
fn write_value(stack: Stack, out: &mut Vec<u8>, key: &[u8]) -> Result<(), &'static str> {
    if stack.kind(-1) == Kind::Bool && !stack.truth(-1) {
        return Ok(());
    }
    if !out.is_empty() {
        out.push(b'&');
    }
    escape::component(out, key);
    match (stack.kind(-1), stack.digits(-1)) {
        (Kind::Bool, _) => {}
        (_, Some(value)) => {
            out.push(b'=');
            escape::component(out, value);
        }
        (_, None) => return Err(stack.kind_name(-1)),
    }
    Ok(())
}
