//! Hashes and message authentication.

use std::ffi::CStr;
use std::os::raw::c_int;

use pilotlight_filter::abi::limit::LUA_STRING;
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::crypto;
use crate::crypto::hash::{self, Hash, Hasher};
use crate::crypto::mac::Mac;
use crate::plain::{self, Plain};
use crate::stack::Stack;
use crate::value::{nothing, refuse};
use crate::watchdog::stopping;
use crate::window::{FALSE, NONE, TRUE, Window, given};

/// Work between two looks at the clock.
const PIECE: usize = 64 * 1024;

pub(crate) fn fast() -> [Fast; 6] {
    [
        fast!("hash_len", hash_len(text, int) -> int),
        fast!("digest", digest(window, text, int, text, int) -> int),
        fast!("hmac", hmac(window, text, int, text, int, text, int) -> int),
        fast!("equal", equal(window, text, int, text, int) -> int),
        fast!("crc32", crc32(uint, text, int) -> uint),
        fast!("random", random(window, int) -> int),
    ]
}

pub(crate) fn slow() -> [Slow; 3] {
    [Slow("hash_new", hash_new), Slow("hash_update", hash_update), Slow("hash_final", hash_final)]
}

/// Feeds a text piece by piece; false when it was stopped.
fn feed(text: &[u8], mut update: impl FnMut(&[u8])) -> bool {
    text.chunks(PIECE).all(|piece| {
        update(piece);
        !stopping()
    })
}

/// Bytes of a digest of the hash of this name; 0 when there is none.
unsafe fn hash_len(name: *const u8, name_len: c_int) -> c_int {
    // SAFETY: the prelude passes a Lua string.
    let name = unsafe { given(name, name_len) };
    Hash::named(name).map_or(0, |hash| hash.len() as c_int)
}

/// The digest of a text by a hash of this name, or nothing when there is none.
unsafe fn digest(
    window: *mut Window,
    name: *const u8,
    name_len: c_int,
    at: *const u8,
    len: c_int,
) -> c_int {
    // SAFETY: the prelude passes its own window and Lua strings.
    let (window, name, text) = unsafe { (&mut *window, given(name, name_len), given(at, len)) };
    let Some(hash) = Hash::named(name) else { return NONE };
    let mut hasher = Hasher::new(hash);
    window.fill(|out| {
        let done = feed(text, |piece| hasher.update(piece));
        out.extend_from_slice(&hasher.finish());
        done
    })
}

/// The same with a key: HMAC.
unsafe fn hmac(
    window: *mut Window,
    name: *const u8,
    name_len: c_int,
    key: *const u8,
    key_len: c_int,
    at: *const u8,
    len: c_int,
) -> c_int {
    // SAFETY: as in `digest`.
    let (window, name, key, text) =
        unsafe { (&mut *window, given(name, name_len), given(key, key_len), given(at, len)) };
    let Some(hash) = Hash::named(name) else { return NONE };
    let mut mac = Mac::new(hash, key);
    window.fill(|out| {
        let done = feed(text, |piece| mac.update(piece));
        out.extend_from_slice(&mac.finish());
        done
    })
}

/// Whether two texts are equal, in a time that tells nothing of where they differ.
unsafe fn equal(
    _: *mut Window,
    one: *const u8,
    one_len: c_int,
    other: *const u8,
    other_len: c_int,
) -> c_int {
    // SAFETY: as in `digest`.
    let (one, other) = unsafe { (given(one, one_len), given(other, other_len)) };
    if crypto::equal(one, other) { TRUE } else { FALSE }
}

unsafe fn crc32(seed: u32, at: *const u8, len: c_int) -> u32 {
    // SAFETY: as in `digest`.
    let text = unsafe { given(at, len) };
    let mut crc = seed;
    feed(text, |piece| crc = hash::crc32(crc, piece));
    crc
}

/// So many unpredictable bytes.
unsafe fn random(window: *mut Window, len: c_int) -> c_int {
    // SAFETY: as in `digest`.
    let window = unsafe { &mut *window };
    let Some(len) = usize::try_from(len).ok().filter(|len| *len as u64 <= LUA_STRING) else {
        return NONE;
    };
    let services = window.host.services.clone();
    window.fill(|out| {
        out.resize(len, 0);
        services.random(out);
        true
    })
}

/// A hash or HMAC that scripts feed.
#[derive(Clone)]
#[allow(clippy::large_enum_variant)] // it lies in Lua's memory, and must hold no memory of its own
enum Running {
    Hash(Hasher),
    Mac(Mac),
}

impl Plain for Running {
    const NAME: &CStr = c"pilotlight.hash";
}

/// `hash_new(name, key)`: a hash, or HMAC when there is a key; nil when there is no such hash.
unsafe extern "C-unwind" fn hash_new(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let Some(hash) = Hash::named(stack.bytes(1).unwrap_or_default()) else {
        return nothing(stack);
    };
    let running = match stack.bytes(2) {
        Some(key) => Running::Mac(Mac::new(hash, key)),
        None => Running::Hash(Hasher::new(hash)),
    };
    plain::push(stack, running);
    1
}

/// `hash_update(hash, text)`: true, or nil and why not.
unsafe extern "C-unwind" fn hash_update(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; nothing below runs Lua.
    let (stack, running) = unsafe { running(state) };
    let (Some(running), Some(text)) = (running, stack.digits(2)) else {
        return refuse(stack, "a hash and a string are needed");
    };
    match running {
        Running::Hash(hasher) => feed(text, |piece| hasher.update(piece)),
        Running::Mac(mac) => feed(text, |piece| mac.update(piece)),
    };
    stack.push_bool(true);
    1
}

/// `hash_final(hash)`: the digest of what it was fed so far.
unsafe extern "C-unwind" fn hash_final(state: *mut lua_State) -> c_int {
    // SAFETY: as in `hash_update`.
    let (stack, running) = unsafe { running(state) };
    let Some(running) = running else { return nothing(stack) };
    let digest = match running.clone() {
        Running::Hash(hasher) => hasher.finish(),
        Running::Mac(mac) => mac.finish(),
    };
    stack.push_bytes(&digest);
    1
}

/// The hash that is a function's first argument.
unsafe fn running<'a>(state: *mut lua_State) -> (Stack, Option<&'a mut Running>) {
    // SAFETY: by the callers.
    unsafe {
        let stack = Stack::new(state);
        (stack, plain::get(stack, 1))
    }
}
