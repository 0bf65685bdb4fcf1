//! `gateway.json`, as C functions.

use std::os::raw::c_int;

use pilotlight_luajit::lua_State;

use super::Slow;
use crate::stack::Stack;
use crate::value::refuse;
use crate::{json, vm};

pub(crate) fn slow() -> [Slow; 2] {
    [Slow("json_encode", encode), Slow("json_decode", decode)]
}

/// `json_encode(value)`: text, or nil and why not.
unsafe extern "C-unwind" fn encode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    match json::encode(stack, 1) {
        Ok(text) => {
            stack.push_bytes(&text);
            1
        }
        Err(error) => refuse(stack, &error),
    }
}

/// `json_decode(text)`: the value, or nil and what is wrong where.
unsafe extern "C-unwind" fn decode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let Some(text) = stack.bytes(1) else { return refuse(stack, "a string is needed") };
    let top = stack.top();
    match json::decode(stack, text, vm::ARRAY) {
        Ok(()) => 1,
        Err(error) => {
            stack.set_top(top);
            refuse(stack, &error)
        }
    }
}
