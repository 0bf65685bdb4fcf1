//! Keys and signatures. A key is three strings to the prelude: kind, public, private.

use std::os::raw::c_int;

use pilotlight_luajit::lua_State;

use super::Slow;
use crate::crypto::hash::Hash;
use crate::crypto::key::{Key, Kind};
use crate::crypto::pem;
use crate::crypto::sign::{self, Scheme};
use crate::stack::Stack;
use crate::value::{nothing, refuse};

pub(crate) fn slow() -> [Slow; 11] {
    [
        Slow("key_read", key_read),
        Slow("key_make", key_make),
        Slow("key_numbers", key_numbers),
        Slow("key_der", key_der),
        Slow("key_sign", key_sign),
        Slow("key_verify", key_verify),
        Slow("jws_sign", jws_sign),
        Slow("jws_verify", jws_verify),
        Slow("ecdsa_raw", ecdsa_raw),
        Slow("ecdsa_der", ecdsa_der),
        Slow("pem_write", pem_write),
    ]
}

pub(super) fn text<'a>(stack: Stack, index: c_int) -> &'a [u8] {
    stack.bytes(index).unwrap_or_default()
}

/// The key of three arguments.
pub(super) fn key(stack: Stack, first: c_int) -> Option<Key> {
    Some(Key {
        kind: Kind::named(text(stack, first))?,
        public: text(stack, first + 1).to_vec(),
        private: stack.bytes(first + 2).map(<[u8]>::to_vec),
    })
}

fn push_key(stack: Stack, key: &Key) -> c_int {
    stack.push_bytes(key.kind.name().as_bytes());
    stack.push_bytes(&key.public);
    match &key.private {
        Some(private) => stack.push_bytes(private),
        None => stack.push_nil(),
    }
    3
}

fn push_result<T: AsRef<[u8]>>(stack: Stack, result: Result<T, &str>) -> c_int {
    match result {
        Ok(bytes) => {
            stack.push_bytes(bytes.as_ref());
            1
        }
        Err(wrong) => refuse(stack, wrong),
    }
}

/// `key_read(text)`: the key of a PEM or DER text, or nil and why not.
unsafe extern "C-unwind" fn key_read(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    match Key::read(text(stack, 1)) {
        Ok(key) => push_key(stack, &key),
        Err(wrong) => refuse(stack, wrong),
    }
}

/// `key_make(kind, ...)`: the key that has these numbers, or nil and why not.
unsafe extern "C-unwind" fn key_make(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let Some(kind) = Kind::named(text(stack, 1)) else {
        return refuse(stack, "an unknown kind of key");
    };
    let numbers: Vec<Option<&[u8]>> = (2..10).map(|index| stack.bytes(index)).collect();
    match Key::of_numbers(kind, &numbers) {
        Ok(key) => push_key(stack, &key),
        Err(wrong) => refuse(stack, wrong),
    }
}

/// `key_numbers(kind, public, private)`: a list of them, as `key_make` takes them.
unsafe extern "C-unwind" fn key_numbers(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let Some(key) = key(stack, 1) else { return nothing(stack) };
    stack.push_table(8, 0);
    for (index, number) in (1..).zip(key.numbers()) {
        stack.push_bytes(&number);
        stack.set_at(-2, index);
    }
    1
}

/// `key_der(kind, public, private, is_private)`: SubjectPublicKeyInfo or PKCS #8, or nil.
unsafe extern "C-unwind" fn key_der(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let Some(key) = key(stack, 1) else { return nothing(stack) };
    match if stack.truth(4) { key.pkcs8() } else { Some(key.spki()) } {
        Some(der) => push_result(stack, Ok(der)),
        None => nothing(stack),
    }
}

/// Names of the prelude's.
const SCHEMES: &[(&[u8], Scheme)] =
    &[(b"plain", Scheme::Plain), (b"legacy", Scheme::Legacy), (b"pss", Scheme::Pss)];

/// The fourth and fifth argument: how, and with which hash (none: the key's kind says it).
fn way(stack: Stack) -> Option<(Scheme, Option<Hash>)> {
    let scheme = SCHEMES.iter().find(|(name, _)| *name == text(stack, 4))?.1;
    match stack.bytes(5) {
        Some(name) => Some((scheme, Some(Hash::named(name)?))),
        None => Some((scheme, None)),
    }
}

/// `key_sign(kind, public, private, scheme, hash, message)`: a signature, or nil and why not.
unsafe extern "C-unwind" fn key_sign(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let (Some(key), Some((scheme, hash))) = (key(stack, 1), way(stack)) else {
        return refuse(stack, "an unknown digest");
    };
    push_result(stack, sign::sign(scheme, hash, &key, text(stack, 6)))
}

/// `key_verify(kind, public, private, scheme, hash, message, signature)`: whether it is right, or nil
/// and why that can't be said.
unsafe extern "C-unwind" fn key_verify(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let (Some(key), Some((scheme, hash))) = (key(stack, 1), way(stack)) else {
        return refuse(stack, "an unknown digest");
    };
    push_verdict(stack, sign::verify(scheme, hash, &key, text(stack, 6), text(stack, 7)))
}

fn push_verdict(stack: Stack, verdict: Result<bool, &str>) -> c_int {
    match verdict {
        Ok(is_right) => {
            stack.push_bool(is_right);
            1
        }
        Err(wrong) => refuse(stack, wrong),
    }
}

/// `jws_sign(algorithm, kind, public, private, message)`: a signature as JOSE has it, or nil and why.
unsafe extern "C-unwind" fn jws_sign(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    push_result(stack, sign::jws_sign(text(stack, 1), key(stack, 2).as_ref(), text(stack, 5)))
}

/// `jws_verify(algorithm, kind, public, private, message, signature)`: whether it is right, or nil
/// and why that can't be said.
unsafe extern "C-unwind" fn jws_verify(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let key = key(stack, 2);
    let verdict = sign::jws_verify(text(stack, 1), key.as_ref(), text(stack, 5), text(stack, 6));
    push_verdict(stack, verdict)
}

/// `ecdsa_raw(kind, der)`: the two numbers side by side, or nil.
unsafe extern "C-unwind" fn ecdsa_raw(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let raw = Kind::named(text(stack, 1)).and_then(|kind| sign::to_raw(kind, text(stack, 2)));
    push_result(stack, raw.ok_or("not a signature of this kind of key"))
}

/// `ecdsa_der(kind, raw)`: the way back.
unsafe extern "C-unwind" fn ecdsa_der(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let der = Kind::named(text(stack, 1)).and_then(|kind| sign::to_der(kind, text(stack, 2)));
    push_result(stack, der.ok_or("not a signature of this kind of key"))
}

/// `pem_write(label, der)`.
unsafe extern "C-unwind" fn pem_write(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let label = stack.text(1).unwrap_or_default();
    push_result(stack, Ok(pem::write(&label, text(stack, 2))))
}
