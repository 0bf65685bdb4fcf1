//! `ffi-zlib`.

use std::os::raw::c_int;

use pilotlight_filter::abi::limit::BODY_COLLECT;
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::flate::{self, Wrapping};
use crate::stack::Stack;
use crate::value::refuse;
use crate::watchdog::stopping;
use crate::window::given;

pub(crate) fn fast() -> [Fast; 1] {
    [fast!("adler32", adler32(uint, text, int) -> uint)]
}

pub(crate) fn slow() -> [Slow; 2] {
    [Slow("inflate", inflate), Slow("deflate", deflate)]
}

unsafe fn adler32(seed: u32, at: *const u8, len: c_int) -> u32 {
    // SAFETY: the prelude passes a Lua string.
    flate::adler32(seed, unsafe { given(at, len) })
}

/// `inflate(text, bits)`: what it was, or nil and why not. The bits are zlib's.
unsafe extern "C-unwind" fn inflate(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let text = stack.bytes(1).unwrap_or_default();
    let wrapping = Wrapping::of_bits(stack.number(2).unwrap_or_default(), text);
    give(stack, flate::unpack(text, wrapping, BODY_COLLECT as usize, &stopping))
}

/// `deflate(text, bits, level)`: the text compressed, or nil and why not.
unsafe extern "C-unwind" fn deflate(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let text = stack.bytes(1).unwrap_or_default();
    let wrapping = Wrapping::of_bits(stack.number(2).unwrap_or_default(), text);
    let level = stack.number(3).unwrap_or(-1.0).clamp(-1.0, 9.0) as i32;
    give(stack, flate::pack(text, wrapping, level, &stopping))
}

fn give(stack: Stack, made: Result<Vec<u8>, &str>) -> c_int {
    match made {
        Ok(text) => {
            stack.push_bytes(&text);
            1
        }
        Err(wrong) => refuse(stack, wrong),
    }
}
