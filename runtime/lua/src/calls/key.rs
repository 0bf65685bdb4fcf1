//! Keys, signatures, certificates. A key is three strings to the prelude: kind, public, private.

use std::os::raw::c_int;

use mlua_sys::lua_State;

use super::Slow;
use crate::crypto::certificate::{self, Attribute, Certificate};
use crate::crypto::hash::Hash;
use crate::crypto::key::{Key, Kind};
use crate::crypto::pem;
use crate::crypto::sign::{self, Scheme};
use crate::stack::Stack;
use crate::value::{nothing, refuse};

pub(crate) fn slow() -> [Slow; 12] {
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
        Slow("certificate", read_certificate),
    ]
}

fn text<'a>(stack: Stack, index: c_int) -> &'a [u8] {
    stack.bytes(index).unwrap_or_default()
}

/// The key of three arguments.
fn key(stack: Stack, first: c_int) -> Option<Key> {
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

/// `certificate(text, key kind, key public)`: what is in a certificate as a table, or nil. With a
/// key, `is_signed` says whether it has signed it.
unsafe extern "C-unwind" fn read_certificate(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let Some(der) = certificate::der(text(stack, 1)) else { return nothing(stack) };
    let Some(certificate) = Certificate::read(&der) else { return nothing(stack) };
    let signer = key(stack, 2);
    stack.push_table(0, 16);
    let number = |name: &str, number: f64| {
        stack.push_number(number);
        stack.set(-2, name.as_bytes());
    };
    let bytes = |name: &str, bytes: &[u8]| {
        stack.push_bytes(bytes);
        stack.set(-2, name.as_bytes());
    };
    number("version", f64::from(certificate.version));
    number("not_before", certificate.not_before);
    number("not_after", certificate.not_after);
    bytes("der", &der);
    bytes("serial", certificate.serial);
    bytes("key", certificate.key_info);
    if let Some((name, hash)) = certificate.signature() {
        bytes("signature", name.as_bytes());
        bytes("digest", hash.name().as_bytes());
    }
    if let Some(signer) = signer {
        stack.push_bool(certificate.is_signed_by(&signer) == Ok(true));
        stack.set(-2, b"is_signed");
    }
    push_name(stack, &certificate.subject);
    stack.set(-2, b"subject");
    push_name(stack, &certificate.issuer);
    stack.set(-2, b"issuer");
    push_extensions(stack, &certificate);
    stack.set(-2, b"extensions");
    1
}

/// A list of `{ id, value }`.
fn push_name(stack: Stack, name: &[Attribute<'_>]) {
    stack.push_table(name.len() as c_int, 0);
    for (index, attribute) in (1..).zip(name) {
        stack.push_table(0, 2);
        stack.push_bytes(attribute.id.as_bytes());
        stack.set(-2, b"id");
        stack.push_bytes(attribute.value);
        stack.set(-2, b"value");
        stack.set_at(-2, index);
    }
}

/// A list of `{ id, critical, value, names }`, the last for alternative names only.
fn push_extensions(stack: Stack, certificate: &Certificate<'_>) {
    stack.push_table(certificate.extensions.len() as c_int, 0);
    for (index, extension) in (1..).zip(&certificate.extensions) {
        stack.push_table(0, 4);
        stack.push_bytes(extension.id.as_bytes());
        stack.set(-2, b"id");
        stack.push_bool(extension.is_critical);
        stack.set(-2, b"critical");
        stack.push_bytes(extension.value);
        stack.set(-2, b"value");
        // Of the subject, and of the issuer.
        if matches!(extension.id.as_str(), "2.5.29.17" | "2.5.29.18") {
            let names = certificate::alternative_names(extension.value);
            stack.push_table(names.len() as c_int, 0);
            for (place, (kind, name)) in (1..).zip(&names) {
                stack.push_table(2, 0);
                stack.push_bytes(kind.as_bytes());
                stack.set_at(-2, 1);
                stack.push_bytes(name);
                stack.set_at(-2, 2);
                stack.set_at(-2, place);
            }
            stack.set(-2, b"names");
        }
        stack.set_at(-2, index);
    }
}
