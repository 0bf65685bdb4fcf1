//! Shared dictionaries.

use std::os::raw::{c_int, c_void};
use std::sync::Arc;

use mlua_sys::lua_State;
use pilotlight_filter::abi::Value;
use pilotlight_filter::host::Shared;

use super::{Fast, Slow};
use crate::stack::Stack;
use crate::value;
use crate::vm::window_of;
use crate::window::{FALSE, NONE, NUMBER, OTHER, TEXT, TRUE, Window, given};

pub(crate) fn fast() -> [Fast; 6] {
    const KEY: &str = "int (*)(pl_window *, int, const char *, int)";
    const KEY_TTL: &str = "int (*)(pl_window *, int, const char *, int, double)";
    [
        Fast("shared_get", KEY, get as *const c_void),
        Fast("shared_delete", KEY, delete as *const c_void),
        Fast("shared_ttl", KEY, ttl as *const c_void),
        Fast("shared_expire", KEY_TTL, expire as *const c_void),
        Fast(
            "shared_put",
            "int (*)(pl_window *, int, int, const char *, int, int, const char *, int, double, double)",
            put as *const c_void,
        ),
        Fast(
            "shared_incr",
            "int (*)(pl_window *, int, const char *, int, double, int, double, double)",
            incr as *const c_void,
        ),
    ]
}

pub(crate) fn slow() -> [Slow; 3] {
    [Slow("shared_find", find), Slow("shared_keys", keys), Slow("shared_flush", flush)]
}

/// The dictionary with this index of the manifest's list; opened when first used.
fn open(window: &mut Window, index: c_int) -> Option<Arc<dyn Shared>> {
    let index = index as usize;
    let place = window.host.dictionaries.get(index)?;
    if let Some(dictionary) = place {
        return Some(dictionary.clone());
    }
    let opened = window.host.services.shared(&window.host.world.shared[index])?;
    window.host.dictionaries[index] = Some(opened.clone());
    Some(opened)
}

unsafe extern "C" fn get(window: *mut Window, index: c_int, key: *const u8, len: c_int) -> c_int {
    // SAFETY: the prelude passes its own window and a Lua string.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    match open(window, index).and_then(|dictionary| dictionary.get(key)) {
        None | Some(Value::Nil) => NONE,
        Some(Value::Bool(value)) => {
            if value {
                TRUE
            } else {
                FALSE
            }
        }
        Some(Value::Int(value)) => {
            window.num = value as f64;
            NUMBER
        }
        Some(Value::Float(value)) => {
            window.num = value;
            NUMBER
        }
        Some(Value::Bytes(value)) => {
            window.show_held(value);
            TEXT
        }
        Some(Value::List(_) | Value::Map(_)) => OTHER,
    }
}

#[allow(clippy::too_many_arguments)]
unsafe extern "C" fn put(
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
) -> c_int {
    // SAFETY: as in `get`.
    let (window, key, text) = unsafe { (&mut *window, given(key, len), given(text, text_len)) };
    let Some(dictionary) = open(window, index) else { return window.fail("not at hand") };
    let value = match kind {
        TEXT => Value::Bytes(text.to_vec()),
        NUMBER => value::number(num),
        kind => Value::Bool(kind == TRUE),
    };
    let put = match mode {
        0 => dictionary.set(key, value, ttl),
        1 => dictionary.add(key, value, ttl),
        _ => dictionary.replace(key, value, ttl),
    };
    match put {
        Ok(()) => NONE,
        Err(error) => window.fail(error),
    }
}

#[allow(clippy::too_many_arguments)]
unsafe extern "C" fn incr(
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
    let Some(dictionary) = open(window, index) else { return window.fail("not at hand") };
    match dictionary.incr(key, by, (has_init != 0).then_some(init), ttl) {
        Ok(value) => {
            window.num = value;
            NUMBER
        }
        Err(error) => window.fail(error),
    }
}

unsafe extern "C" fn delete(
    window: *mut Window,
    index: c_int,
    key: *const u8,
    len: c_int,
) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    if let Some(dictionary) = open(window, index) {
        dictionary.delete(key);
    }
    NONE
}

unsafe extern "C" fn ttl(window: *mut Window, index: c_int, key: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    let Some(left) = open(window, index).and_then(|dictionary| dictionary.ttl(key)) else {
        return NONE;
    };
    window.num = left;
    NUMBER
}

unsafe extern "C" fn expire(
    window: *mut Window,
    index: c_int,
    key: *const u8,
    len: c_int,
    ttl: f64,
) -> c_int {
    // SAFETY: as in `get`.
    let (window, key) = unsafe { (&mut *window, given(key, len)) };
    let there = open(window, index).is_some_and(|dictionary| dictionary.expire(key, ttl));
    if there { TRUE } else { FALSE }
}

/// `shared_find(name)`: its index, or nil and the names there are.
unsafe extern "C-unwind" fn find(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let name = stack.text(1).unwrap_or_default();
    let names = &window.host.world.shared;
    match names.iter().position(|known| *known == name) {
        Some(index) => stack.push_number(index as f64),
        None => {
            let message = match names.is_empty() {
                true => format!("the manifest has no [shared.{name}]"),
                false => format!("the manifest has no [shared.{name}], but {}", names.join(", ")),
            };
            return value::refuse(stack, &message);
        }
    }
    1
}

/// `shared_keys(index, max)`: a list.
unsafe extern "C-unwind" fn keys(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let index = stack.number(1).unwrap_or(-1.0) as c_int;
    let max = stack.number(2).unwrap_or(1024.0).max(0.0) as usize;
    let keys = open(window, index).map(|dictionary| dictionary.keys(max)).unwrap_or_default();
    stack.push_table(keys.len() as c_int, 0);
    for (place, key) in keys.iter().enumerate() {
        stack.push_bytes(key);
        stack.set_at(-2, place as c_int + 1);
    }
    1
}

/// `shared_flush(index)`.
unsafe extern "C-unwind" fn flush(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    if let Some(dictionary) = open(window, stack.number(1).unwrap_or(-1.0) as c_int) {
        dictionary.flush();
    }
    0
}
