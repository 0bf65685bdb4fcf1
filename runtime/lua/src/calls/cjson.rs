//! `cjson`, as C functions.

use std::os::raw::c_int;

use pilotlight_luajit::lua_State;

use super::Slow;
use crate::cjson::Wrong;
use crate::cjson::decode::{self, decode};
use crate::cjson::encode::{self, EMPTY_ARRAY, Invalid, encode};
use crate::stack::Stack;
use crate::value::refuse;

pub(crate) fn slow() -> [Slow; 3] {
    [
        Slow("cjson_encode", cjson_encode),
        Slow("cjson_decode", cjson_decode),
        Slow("cjson_empty_array", cjson_empty_array),
    ]
}

/// What the bits of the flags say, as `cjson.lua` sets them.
const EMPTY_AS_OBJECT: u32 = 1;
const ESCAPE_SLASH: u32 = 2;
const SKIP_UNSUPPORTED: u32 = 4;
const SPARSE_CONVERT: u32 = 8;
const INVALID_WRITTEN: u32 = 16;
const INVALID_NULL: u32 = 32;

fn number(stack: Stack, index: c_int) -> f64 {
    stack.number(index).unwrap_or_default()
}

/// `cjson_encode(value, array_mt, empty_array_mt, flags, depth, ratio, safe, precision, indent)`: the
/// text; or nil and a message; or nil, an error that was raised, and true.
unsafe extern "C-unwind" fn cjson_encode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let flags = number(stack, 4) as u32;
    let is_set = |flag: u32| flags & flag != 0;
    let options = encode::Options {
        array: 2,
        empty_array: 3,
        empty_as_object: is_set(EMPTY_AS_OBJECT),
        escape_slash: is_set(ESCAPE_SLASH),
        skip_unsupported: is_set(SKIP_UNSUPPORTED),
        invalid: match (is_set(INVALID_WRITTEN), is_set(INVALID_NULL)) {
            (true, _) => Invalid::Written,
            (_, true) => Invalid::Null,
            _ => Invalid::Refused,
        },
        sparse_convert: is_set(SPARSE_CONVERT),
        sparse_ratio: number(stack, 6),
        sparse_safe: number(stack, 7),
        depth: number(stack, 5) as usize,
        precision: number(stack, 8) as usize,
        indent: stack.bytes(9).unwrap_or_default(),
    };
    stack.push_copy(1);
    match encode(stack, &options) {
        Ok(text) => {
            stack.push_bytes(&text);
            1
        }
        Err(Wrong::Text(message)) => refuse(stack, &message),
        Err(Wrong::Raised) => {
            stack.push_nil();
            stack.push_copy(-2);
            stack.push_bool(true);
            3
        }
    }
}

/// `cjson_decode(text, array_mt or nil, invalid_numbers, comments, depth)`: the value; or nil and a
/// message.
unsafe extern "C-unwind" fn cjson_decode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let options = decode::Options {
        array: (stack.kind(2) == crate::stack::Kind::Table).then_some(2),
        invalid_numbers: stack.truth(3),
        comments: stack.truth(4),
        depth: number(stack, 5) as usize,
    };
    match decode(stack, stack.digits(1).unwrap_or_default(), &options) {
        Ok(()) => 1,
        Err(message) => {
            stack.set_top(5);
            refuse(stack, &message)
        }
    }
}

/// `cjson_empty_array()`: what stands for an array without items.
unsafe extern "C-unwind" fn cjson_empty_array(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    stack.push_light((&raw const EMPTY_ARRAY).cast());
    1
}
