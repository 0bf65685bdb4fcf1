//! Shared dictionaries: `gateway.shared` and `ngx.shared` are made of these.

use std::os::raw::c_int;

use pilotlight_filter::abi::shared::{End, Found, Kept, Mode, Put, Scalar};
use pilotlight_filter::host::Shared;
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::stack::Stack;
use crate::value;
use crate::vm::window_of;
use crate::window::{FALSE, Host, NONE, NUMBER, OTHER, TEXT, TRUE, Window, given};

pub(crate) fn fast() -> [Fast; 12] {
    [
        fast!("shared_get", get(window, int, text, int) -> int),
        fast!("shared_stale", get_stale(window, int, text, int) -> int),
        fast!("shared_delete", delete(window, int, text, int) -> int),
        fast!("shared_ttl", ttl(window, int, text, int) -> int),
        fast!("shared_expire", expire(window, int, text, int, double, int) -> int),
        fast!("shared_put", put(window, int, int, text, int, int, text, int, double, double, int) -> int),
        fast!("shared_incr", incr(window, int, text, int, double, int, double, double) -> int),
        fast!("shared_push", push(window, int, text, int, int, int, text, int, double) -> int),
        fast!("shared_pop", pop(window, int, text, int, int) -> int),
        fast!("shared_len", len(window, int, text, int) -> int),
        fast!("shared_capacity", capacity(window, int) -> double),
        fast!("shared_used", used(window, int) -> double),
    ]
}

pub(crate) fn slow() -> [Slow; 6] {
    [
        Slow("shared_find", find),
        Slow("shared_names", names),
        Slow("shared_keys", keys),
        Slow("shared_flush", flush),
        Slow("shared_expire_all", expire_all),
        Slow("shared_flush_expired", flush_expired),
    ]
}

/// Bits of a put, beside `Mode` as a number.
const MODES: c_int = 3;
const SAFE: c_int = 4;

/// The dictionary with this index of the manifest's list; opened when first used.
fn open(host: &mut Host, index: c_int) -> Option<&dyn Shared> {
    let index = index as usize;
    let place = host.dictionaries.get_mut(index)?;
    if place.is_none() {
        *place = host.services.shared(&host.world.shared[index]);
    }
    place.as_deref()
}

/// Does something with a dictionary and the buffer of results.
#[inline]
fn with<T>(
    window: &mut Window,
    index: c_int,
    act: impl FnOnce(&dyn Shared, &mut Vec<u8>) -> T,
) -> Option<T> {
    let mut held = std::mem::take(&mut window.host.held);
    let result = open(&mut window.host, index).map(|dictionary| act(dictionary, &mut held));
    window.host.held = held;
    result
}

/// Opens a dictionary that is not in the manifest's list, where scripts may name any. Its index is
/// behind those of the list.
fn open_other(window: &mut Window, name: &str) -> Option<usize> {
    let host = &mut window.host;
    let opened = host.services.shared(name).filter(|_| host.world.script.any_shared)?;
    host.dictionaries.push(Some(opened));
    Some(host.dictionaries.len() - 1)
}

const MISSING: &str = "not at hand";

/// Shows what was kept; a text is in the buffer of results.
#[inline]
fn show(window: &mut Window, kept: Kept) -> c_int {
    match kept {
        Kept::Bool(true) => TRUE,
        Kept::Bool(false) => FALSE,
        Kept::Number(number) => {
            window.num = number;
            NUMBER
        }
        Kept::Text => {
            window.show(&raw const *window.host.held);
            TEXT
        }
        Kept::List => OTHER,
    }
}

/// The same with the flags, in `from`, and whether it is stale, in `to`.
#[inline]
fn show_found(window: &mut Window, found: Option<Found>) -> c_int {
    let Some(found) = found else { return NONE };
    (window.from, window.to) = (found.flags, i32::from(found.stale));
    show(window, found.kept)
}

unsafe fn get(window: *mut Window, index: c_int, key: *const u8, len: c_int) -> c_int {
    // SAFETY: the prelude passes its own window and a Lua string.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    let found = with(window, index, |dictionary, text| dictionary.get(key, text));
    show_found(window, found.flatten())
}

unsafe fn get_stale(window: *mut Window, index: c_int, key: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    let found = with(window, index, |dictionary, text| dictionary.get_stale(key, text));
    show_found(window, found.flatten())
}

/// `mode`: 0 set, 1 add, 2 replace; and 4: safe. `from` says whether something had to go.
#[allow(clippy::too_many_arguments)]
unsafe fn put(
    window: *mut Window,
    index: c_int,
    mode: c_int,
    key: *const u8,
    len: c_int,
    kind: c_int,
    text: *const u8,
    text_len: c_int,
    num: f64,
    ttl: f64,
    flags: c_int,
) -> c_int {
    // SAFETY: as in `get`.
    let (window, key, text) = unsafe { (&mut *window, given(key, len), given(text, text_len)) };
    let safe = mode & SAFE != 0;
    let mode = match mode & MODES {
        0 => Mode::Set,
        1 => Mode::Add,
        _ => Mode::Replace,
    };
    let put = Put { mode, safe, ttl, flags };
    let value = scalar(kind, text, num);
    let done = with(window, index, |dictionary, _| dictionary.put(key, value, put));
    window.from = i32::from(done == Some(Ok(true)));
    match done.unwrap_or(Err(MISSING)) {
        Ok(_) => NONE,
        Err(error) => window.fail(error),
    }
}

fn scalar(kind: c_int, text: &[u8], num: f64) -> Scalar<'_> {
    match kind {
        TEXT => Scalar::Text(text),
        NUMBER => Scalar::Number(num),
        kind => Scalar::Bool(kind == TRUE),
    }
}

#[allow(clippy::too_many_arguments)]
unsafe fn incr(
    window: *mut Window,
    index: c_int,
    key: *const u8,
    len: c_int,
    by: f64,
    has_init: c_int,
    init: f64,
    ttl: f64,
) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    let init = (has_init != 0).then_some(init);
    let done = with(window, index, |dictionary, _| dictionary.incr(key, by, init, ttl));
    match done.unwrap_or(Err(MISSING)) {
        Ok((sum, forced)) => {
            (window.num, window.from) = (sum, i32::from(forced));
            NUMBER
        }
        Err(error) => window.fail(error),
    }
}

unsafe fn delete(window: *mut Window, index: c_int, key: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    with(window, index, |dictionary, _| dictionary.delete(key));
    NONE
}

/// Seconds left: infinite for ever, not above 0 for what has expired.
unsafe fn ttl(window: *mut Window, index: c_int, key: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    match with(window, index, |dictionary, _| dictionary.ttl(key)).flatten() {
        Some(left) => {
            window.num = left;
            NUMBER
        }
        None => NONE,
    }
}

unsafe fn expire(
    window: *mut Window,
    index: c_int,
    key: *const u8,
    len: c_int,
    ttl: f64,
    revive: c_int,
) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    let there = with(window, index, |dictionary, _| dictionary.expire(key, ttl, revive != 0));
    if there == Some(true) { TRUE } else { FALSE }
}

/// An end as the prelude has it: 0 is the left one.
fn end_of(end: c_int) -> End {
    if end == 0 { End::Left } else { End::Right }
}

/// Shows a length, or why there is none.
fn show_length(window: &mut Window, length: Option<Result<usize, &'static str>>) -> c_int {
    match length.unwrap_or(Err(MISSING)) {
        Ok(length) => {
            window.num = length as f64;
            NUMBER
        }
        Err(error) => window.fail(error),
    }
}

#[allow(clippy::too_many_arguments)]
unsafe fn push(
    window: *mut Window,
    index: c_int,
    key: *const u8,
    len: c_int,
    end: c_int,
    kind: c_int,
    text: *const u8,
    text_len: c_int,
    num: f64,
) -> c_int {
    // SAFETY: as in `get`.
    let (window, key, text) = unsafe { (&mut *window, given(key, len), given(text, text_len)) };
    let value = scalar(kind, text, num);
    let length = with(window, index, |dictionary, _| dictionary.push(key, value, end_of(end)));
    show_length(window, length)
}

unsafe fn pop(window: *mut Window, index: c_int, key: *const u8, len: c_int, end: c_int) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    let popped = with(window, index, |dictionary, text| dictionary.pop(key, end_of(end), text));
    match popped.unwrap_or(Err(MISSING)) {
        Ok(Some(kept)) => show(window, kept),
        Ok(None) => NONE,
        Err(error) => window.fail(error),
    }
}

unsafe fn len(window: *mut Window, index: c_int, key: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    let length = with(window, index, |dictionary, _| dictionary.len(key));
    show_length(window, length)
}

unsafe fn capacity(window: *mut Window, index: c_int) -> f64 {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    with(window, index, |dictionary, _| dictionary.capacity() as f64).unwrap_or_default()
}

unsafe fn used(window: *mut Window, index: c_int) -> f64 {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    with(window, index, |dictionary, _| dictionary.used() as f64).unwrap_or_default()
}

/// `shared_find(name)`: its index, or nil and the names there are.
unsafe extern "C-unwind" fn find(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let name = stack.text(1).unwrap_or_default();
    let names = &window.host.world.shared;
    match names.iter().position(|known| *known == name).or_else(|| open_other(window, &name)) {
        Some(index) => stack.push_number(index as f64),
        None => {
            let names = &window.host.world.shared;
            let message = match names.is_empty() {
                true => format!("the manifest has no [shared.{name}]"),
                false => format!("the manifest has no [shared.{name}], but {}", names.join(", ")),
            };
            return value::refuse(stack, &message);
        }
    }
    1
}

/// `shared_names()`: a list; a name's place in it, less one, is its index.
unsafe extern "C-unwind" fn names(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    push_list(stack, window.host.world.shared.iter().map(String::as_bytes));
    1
}

/// `shared_keys(index, max)`: a list.
unsafe extern "C-unwind" fn keys(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let max = count(stack, 1024.0);
    let keys = with(window, index(stack), |dictionary, _| dictionary.keys(max));
    push_list(stack, keys.unwrap_or_default().iter().map(Vec::as_slice));
    1
}

fn push_list<'a>(stack: Stack, list: impl ExactSizeIterator<Item = &'a [u8]>) {
    stack.push_table(list.len() as c_int, 0);
    for (place, item) in list.enumerate() {
        stack.push_bytes(item);
        stack.set_at(-2, place as c_int + 1);
    }
}

/// The first argument: which dictionary.
fn index(stack: Stack) -> c_int {
    stack.number(1).unwrap_or(-1.0) as c_int
}

/// The second: how many at most.
fn count(stack: Stack, default: f64) -> usize {
    stack.number(2).unwrap_or(default).max(0.0) as usize
}

/// `shared_flush(index)`.
unsafe extern "C-unwind" fn flush(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    with(window, index(stack), |dictionary, _| dictionary.flush());
    0
}

/// `shared_expire_all(index)`.
unsafe extern "C-unwind" fn expire_all(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    with(window, index(stack), |dictionary, _| dictionary.expire_all());
    0
}

/// `shared_flush_expired(index, max)`: how many it were.
unsafe extern "C-unwind" fn flush_expired(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let max = count(stack, 0.0);
    let gone = with(window, index(stack), |dictionary, _| dictionary.flush_expired(max));
    stack.push_number(gone.unwrap_or_default() as f64);
    1
}
