//! Ciphers and derived keys.

use std::os::raw::c_int;

use pilotlight_luajit::lua_State;

use super::Slow;
use crate::crypto::cipher::{Job, Mode, STOPPED};
use crate::crypto::derive;
use crate::crypto::hash::Hash;
use crate::stack::Stack;
use crate::value::{nothing, refuse};
use crate::watchdog::stopping;

/// Bytes of a derived key.
const KEY_MAX: usize = 64 * 1024;

pub(crate) fn slow() -> [Slow; 6] {
    [
        Slow("cipher_mode", cipher_mode),
        Slow("encrypt", encrypt),
        Slow("decrypt", decrypt),
        Slow("pbkdf2", pbkdf2),
        Slow("hkdf", hkdf),
        Slow("bytes_to_key", bytes_to_key),
    ]
}

fn text<'a>(stack: Stack, index: c_int) -> &'a [u8] {
    stack.bytes(index).unwrap_or_default()
}

/// `cipher_mode(name)`: the bytes of its block and of its IV, or nil.
unsafe extern "C-unwind" fn cipher_mode(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let Some(mode) = Mode::named(text(stack, 1)) else { return nothing(stack) };
    stack.push_number(mode.block() as f64);
    stack.push_number(mode.iv() as f64);
    2
}

/// A call's first six arguments: mode, key, IV, text, padding, what is also vouched for.
fn job<'a>(stack: Stack) -> Option<(Job<'a>, Vec<u8>)> {
    let job = Job {
        mode: Mode::named(text(stack, 1))?,
        key: text(stack, 2),
        iv: text(stack, 3),
        padding: stack.truth(5),
        aad: text(stack, 6),
        stop: &stopping,
    };
    Some((job, text(stack, 4).to_vec()))
}

/// `encrypt(mode, key, iv, text, padding, aad)`: the text encrypted and GCM's tag; or nil and why.
unsafe extern "C-unwind" fn encrypt(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let Some((job, text)) = job(stack) else { return nothing(stack) };
    match job.encrypt(text) {
        Ok((text, tag)) => {
            stack.push_bytes(&text);
            stack.push_bytes(&tag);
            2
        }
        Err(wrong) => refuse(stack, wrong),
    }
}

/// `decrypt(mode, key, iv, text, padding, aad, tag)`: the text, or nil and why not.
unsafe extern "C-unwind" fn decrypt(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let Some((job, given)) = job(stack) else { return nothing(stack) };
    match job.decrypt(given, text(stack, 7)) {
        Ok(text) => {
            stack.push_bytes(&text);
            1
        }
        Err(wrong) => refuse(stack, wrong),
    }
}

/// Room for a derived key of so many bytes.
fn room(len: Option<f64>) -> Option<Vec<u8>> {
    let len = len.filter(|len| (1.0..=KEY_MAX as f64).contains(len))?;
    Some(vec![0; len as usize])
}

fn rounds(stack: Stack, index: c_int) -> u32 {
    stack.number(index).unwrap_or(1.0) as u32
}

fn give(stack: Stack, key: &[u8], made: Option<()>) -> c_int {
    match made {
        Some(()) => {
            stack.push_bytes(key);
            1
        }
        None => refuse(stack, STOPPED),
    }
}

/// `pbkdf2(hash, password, salt, rounds, length)`: a key, or nil and why not.
unsafe extern "C-unwind" fn pbkdf2(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let (Some(hash), Some(mut key)) = (Hash::named(text(stack, 1)), room(stack.number(5))) else {
        return refuse(stack, "an unknown digest, or a length out of range");
    };
    let (password, salt) = (text(stack, 2), text(stack, 3));
    let made = derive::pbkdf2(hash, password, salt, rounds(stack, 4), &mut key, &stopping);
    give(stack, &key, made)
}

/// `hkdf(hash, mode, key, salt, info, length)`: a key, or nil and why not. The mode is 0 for both
/// halves, 1 for the first, 2 for the second.
unsafe extern "C-unwind" fn hkdf(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let (Some(hash), mode) = (Hash::named(text(stack, 1)), stack.number(2).unwrap_or_default())
    else {
        return refuse(stack, "an unknown digest");
    };
    let given = text(stack, 3);
    let extracted = derive::extract(hash, text(stack, 4), given);
    if mode == 1.0 {
        stack.push_bytes(&extracted);
        return 1;
    }
    let from = if mode == 2.0 { given } else { &extracted[..] };
    let Some(mut key) = room(stack.number(6)) else {
        return refuse(stack, "a length out of range");
    };
    match derive::expand(hash, from, text(stack, 5), &mut key) {
        Some(()) => give(stack, &key, Some(())),
        None => refuse(stack, "a length out of range"),
    }
}

/// `bytes_to_key(hash, salt, password, rounds, length)`: a key and an IV, or nil and why not.
unsafe extern "C-unwind" fn bytes_to_key(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let (Some(hash), Some(mut key)) = (Hash::named(text(stack, 1)), room(stack.number(5))) else {
        return refuse(stack, "an unknown digest, or a length out of range");
    };
    let (salt, password) = (text(stack, 2), text(stack, 3));
    let rounds = rounds(stack, 4);
    let Some(iv) = derive::bytes_to_key(hash, salt, password, rounds, &mut key, &stopping) else {
        return refuse(stack, STOPPED);
    };
    stack.push_bytes(&key);
    stack.push_bytes(&iv);
    2
}
