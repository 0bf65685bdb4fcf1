//! Queries, percent-encoding, base64, hex.

use std::os::raw::c_int;

use pilotlight_filter::abi::limit::BODY_COLLECT;
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::base64;
use crate::stack::Stack;
use crate::vm::window_of;
use crate::watchdog::stopping;
use crate::window::{NONE, TEXT, Window, given};

/// Parameters of one query.
const ARGS_MAX: usize = 1000;

pub(crate) fn fast() -> [Fast; 6] {
    [
        fast!("url_encode", url_encode(window, text, int) -> int),
        fast!("url_decode", url_decode(window, text, int) -> int),
        fast!("base64_encode", base64_encode(window, text, int) -> int),
        fast!("base64_decode", base64_decode(window, text, int) -> int),
        fast!("hex_encode", hex_encode(window, text, int) -> int),
        fast!("hex_decode", hex_decode(window, text, int) -> int),
    ]
}

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("args", args)]
}

/// What is encoded, in pieces, so that it can be stopped; no group of three bytes, no pair of digits is torn.
const PIECE: usize = 48 * 1024;
/// What is decoded, at once: a whole body, at most.
const WHOLE: usize = BODY_COLLECT as usize;

macro_rules! coder {
    ($name:ident, $piece:expr, $how:expr) => {
        unsafe fn $name(window: *mut Window, at: *const u8, len: c_int) -> c_int {
            // SAFETY: the prelude passes its own window and a Lua string.
            let (window, bytes) = unsafe { (&mut *window, given(at, len)) };
            let how: fn(&[u8]) -> Option<Vec<u8>> = $how;
            let mut out = Vec::new();
            for piece in bytes.chunks($piece) {
                let torn = $piece == WHOLE && bytes.len() > WHOLE;
                match how(piece).filter(|_| !torn && !stopping()) {
                    Some(text) => out.extend_from_slice(&text),
                    None => return NONE,
                }
            }
            window.show_held(out);
            TEXT
        }
    };
}

coder!(url_encode, PIECE, |bytes| Some(percent_encode(bytes)));
coder!(url_decode, WHOLE, |bytes| Some(percent_decode(bytes, false)));
coder!(base64_encode, PIECE, |bytes| {
    let mut out = Vec::new();
    base64::encode(&mut out, bytes, base64::PLAIN, true, &stopping).then_some(out)
});
coder!(base64_decode, WHOLE, |bytes| base64::decode(bytes, base64::Reader::Strict, &stopping));
coder!(hex_encode, PIECE, |bytes| Some(encode16(bytes)));
coder!(hex_decode, PIECE, decode16);

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// RFC 3986 section 2.3: everything but unreserved bytes is encoded.
pub(crate) fn percent_encode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 4);
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            out.extend([b'%', UPPER[usize::from(byte >> 4)], UPPER[usize::from(byte & 15)]]);
        }
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|d| d as u8)
}

/// `%XX` becomes its byte; what is not well-formed stays as it is. `plus`: `+` is a space.
pub(crate) fn percent_decode(bytes: &[u8], plus: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let pair = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &tail[2..];
            }
            None if plus && *first == b'+' => out.push(b' '),
            None => out.push(*first),
        }
    }
    out
}

fn encode16(bytes: &[u8]) -> Vec<u8> {
    let pair = |b: &u8| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]];
    bytes.iter().flat_map(pair).collect()
}

fn decode16(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// `args()`: the decoded query of the request at hand; a repeated key gives a list.
unsafe extern "C-unwind" fn args(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let query = window.exchange().and_then(|e| e.request.head.query()).unwrap_or_default();
    let mut list: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
    for part in query.split(|b| *b == b'&').filter(|p| !p.is_empty()).take(ARGS_MAX) {
        let at = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
        let key = percent_decode(&part[..at], true);
        let value = percent_decode(part.get(at + 1..).unwrap_or_default(), true);
        match list.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => list.push((key, vec![value])),
        }
    }
    stack.push_table(0, list.len() as c_int);
    for (key, values) in &list {
        if let [value] = values.as_slice() {
            stack.push_bytes(value);
        } else {
            stack.push_table(values.len() as c_int, 0);
            for (index, value) in values.iter().enumerate() {
                stack.push_bytes(value);
                stack.set_at(-2, index as c_int + 1);
            }
        }
        stack.set(-2, key);
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_both_ways() {
        for text in ["", "f", "fo", "foo", "foob", "fooba", "foobar", "\0\u{ff}~"] {
            let bytes = text.as_bytes();
            assert_eq!(decode16(&encode16(bytes)).as_deref(), Some(bytes), "{text:?}");
            assert_eq!(percent_decode(&percent_encode(bytes), true), bytes, "{text:?}");
        }
        assert_eq!(percent_decode(b"a%2", false), b"a%2");
        assert_eq!(percent_decode(b"a+%zz%41", true), b"a %zzA");
    }
}
