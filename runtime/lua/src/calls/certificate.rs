//! Certificates as tables.

use std::os::raw::c_int;

use pilotlight_luajit::lua_State;

use super::Slow;
use super::key::{key, text};
use crate::crypto::certificate::{self, Attribute, Certificate};
use crate::stack::Stack;
use crate::value::nothing;

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("certificate", read)]
}

/// `certificate(text, key kind, key public)`: what is in a certificate as a table, or nil. With a
/// key, `is_signed` says whether it has signed it.
unsafe extern "C-unwind" fn read(state: *mut lua_State) -> c_int {
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
