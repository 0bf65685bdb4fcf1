//! The host's functions, as scripts' prelude reaches them: hot ones by FFI, the others as C functions.
//!
//! FFI functions get numbers and strings, never touch the Lua stack, and never fail but by a code.

/// A function for the FFI by what it takes and gives, in the words of `c!` and `host!`. Its address is that
/// of one around it that takes care of panics.
macro_rules! fast {
    ($name:literal, $function:ident($($kind:ident),*) -> $result:ident) => {
        fast!(@ $name $function $result [$($kind)*] [a b c d e f g h i j k] [])
    };
    // Each of the kinds gets a name.
    (@ $name:literal $function:ident $result:ident
     [$kind:ident $($rest:ident)*] [$arg:ident $($spare:ident)*] [$($done:ident)*]) => {
        fast!(@ $name $function $result [$($rest)*] [$($spare)*] [$($done)* $arg $kind])
    };
    (@ $name:literal $function:ident $result:ident
     [] [$($spare:ident)*] [$first:ident $first_kind:ident $($arg:ident $kind:ident)*]) => {{
        // Nothing unwinds out of it; to say so would cost a call to abort in each.
        unsafe extern "C-unwind" fn outer(
            $first: host!($first_kind) $(, $arg: host!($kind))*
        ) -> host!($result) {
            // SAFETY: called as this one is.
            $crate::guard::fast(|| unsafe { $function($first $(, $arg)*) })
        }
        let kind = concat!(
            c!($result), " (*)(", c!($first_kind) $(, ", ", c!($kind))*, ")"
        );
        Fast($name, kind, outer as *const std::os::raw::c_void)
    }};
}

/// What C calls it.
macro_rules! c {
    (window) => {
        "pl_window *"
    };
    (text) => {
        "const char *"
    };
    (int) => {
        "int"
    };
    (uint) => {
        "unsigned int"
    };
    (double) => {
        "double"
    };
}

/// What it is here.
macro_rules! host {
    (window) => { *mut $crate::window::Window };
    (text) => { *const u8 };
    (int) => { std::os::raw::c_int };
    (uint) => { u32 };
    (double) => { f64 };
}

pub(crate) mod aside;
pub(crate) mod certificate;
pub(crate) mod cipher;
pub(crate) mod cjson;
pub(crate) mod codec;
pub(crate) mod datagram;
pub(crate) mod digest;
pub(crate) mod encode;
pub(crate) mod export;
pub(crate) mod field;
pub(crate) mod flate;
pub(crate) mod gather;
pub(crate) mod handshake;
pub(crate) mod head;
pub(crate) mod key;
pub(crate) mod log;
pub(crate) mod metric;
pub(crate) mod module;
pub(crate) mod ocsp;
pub(crate) mod output;
pub(crate) mod redis;
pub(crate) mod regex;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod script;
pub(crate) mod shared;
pub(crate) mod socket;
pub(crate) mod spill;
pub(crate) mod table;
pub(crate) mod task;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod tls;
pub(crate) mod transform;
pub(crate) mod url;
pub(crate) mod var;
pub(crate) mod world;

use std::os::raw::c_void;

use pilotlight_luajit as lua;

/// A function for the FFI: its name, its type in C, its address.
pub(crate) struct Fast(pub(crate) &'static str, pub(crate) &'static str, pub(crate) *const c_void);

/// A C function that works on the Lua stack.
pub(crate) struct Slow(pub(crate) &'static str, pub(crate) lua::lua_CFunction);

/// All functions for the FFI.
pub(crate) fn fast() -> impl Iterator<Item = Fast> {
    head::fast()
        .into_iter()
        .chain(digest::fast())
        .chain(encode::fast())
        .chain(field::fast())
        .chain(regex::fast())
        .chain(flate::fast())
        .chain(metric::fast())
        .chain(module::fast())
        .chain(shared::fast())
        .chain(text::fast())
        .chain(time::fast())
        .chain(url::fast())
        .chain(output::fast())
        .chain(route::fast())
        .chain(request::fast())
        .chain(var::fast())
        .chain(tls::fast())
}

/// All functions for the stack.
pub(crate) fn slow() -> impl Iterator<Item = Slow> {
    codec::slow()
        .into_iter()
        .chain(aside::slow())
        .chain(certificate::slow())
        .chain(cipher::slow())
        .chain(cjson::slow())
        .chain(digest::slow())
        .chain(encode::slow())
        .chain(export::slow())
        .chain(field::slow())
        .chain(flate::slow())
        .chain(key::slow())
        .chain(log::slow())
        .chain(metric::slow())
        .chain(module::slow())
        .chain(script::slow())
        .chain(shared::slow())
        .chain(task::slow())
        .chain(url::slow())
        .chain(output::slow())
        .chain(route::slow())
        .chain(spill::slow())
        .chain(table::slow())
        .chain(request::slow())
        .chain(world::slow())
        .chain(socket::slow())
        .chain(datagram::slow())
        .chain(tls::slow())
        .chain(handshake::slow())
        .chain(ocsp::slow())
        .chain(redis::slow())
        .chain(transform::slow())
}

#[cfg(test)]
mod tests;
