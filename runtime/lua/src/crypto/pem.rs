//! PEM (RFC 7468): armour around DER.

use crate::base64::{self, Reader};

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// Whether a text is PEM.
pub(crate) fn is_pem(text: &[u8]) -> bool {
    memchr::memmem::find(text, BEGIN).is_some()
}

/// The blocks of a text: labels and what they hold.
pub(crate) fn blocks(text: &[u8]) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = memchr::memmem::find(rest, BEGIN)? + BEGIN.len();
        let (label, body) = cut(&rest[start..], DASHES)?;
        let (body, after) = cut(body, &[b"-----END ", label, DASHES].concat())?;
        rest = after;
        // What is encrypted has headers before its text.
        let is_plain = !body.contains(&b':');
        let der = is_plain.then(|| base64::decode(body, Reader::Mime, &|| false)).flatten();
        Some((label, der.unwrap_or_default()))
    })
}

fn cut<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = memchr::memmem::find(text, at)?;
    Some((&text[..place], &text[place + at.len()..]))
}

/// The text of one block.
pub(crate) fn write(label: &str, der: &[u8]) -> Vec<u8> {
    let mut out = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in der.chunks(48) {
        base64::encode(&mut out, line, base64::PLAIN, true, &|| false);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    out
}
