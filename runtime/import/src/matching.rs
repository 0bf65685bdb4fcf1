//! What a match can say: hosts, paths, expressions.

use std::fmt::Write as _;

/// Whether a text is a host of a match: a name, or `*.` before one.
pub(crate) fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return true;
    }
    name.len() <= 253
        && name.split('.').all(|label| {
            let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(fine) && !label.starts_with('-')
        })
}

/// A decoded path in the form that a match has; nothing if none can say it.
pub(crate) fn path(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | b'"' | b'<' | b'>' | b'\\' | b'#' | b'?' | b'*' => {
                let _ = write!(out, "%{byte:02X}");
            }
            b'!'..=b'~' => out.push(char::from(byte)),
            b' ' | 0x80.. => {
                let _ = write!(out, "%{byte:02X}");
            }
            _ => return None,
        }
    }
    let odd = |part: &str| part == "." || part == "..";
    (out.starts_with('/') && !out.contains("//") && !out.split('/').any(odd)).then_some(out)
}

/// A text as an expression that stands for itself.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// An expression whose groups capture nothing.
pub(crate) fn without_groups(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len());
    let (mut class, mut chars) = (false, expression.chars().peekable());
    while let Some(c) = chars.next() {
        out.push(c);
        match c {
            '\\' => out.extend(chars.next()),
            '[' => class = true,
            ']' => class = false,
            '(' if !class && chars.peek() != Some(&'?') => out.push_str("?:"),
            _ => {}
        }
    }
    out
}

/// A path without its escapes; nothing if they are none, or stand for no text.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}
