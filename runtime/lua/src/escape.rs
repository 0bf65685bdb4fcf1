//! How nginx writes and reads text in URIs and SQL.

/// Bytes that are written as `%XX`.
type Set = [bool; 256];

/// A set: all bytes up to `low`, DEL and the upper half if `high`, and these.
const fn set(low: u8, high: bool, these: &[u8]) -> Set {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        set[byte] = byte <= low as usize || high && byte >= 0x7f;
        byte += 1;
    }
    let mut at = 0;
    while at < these.len() {
        set[these[at] as usize] = true;
        at += 1;
    }
    set
}

/// What `ngx.escape_uri` takes as its type, 0 to 6.
const SETS: [&Set; 7] = [
    &set(0x20, true, b"#%?"),
    &set(0x20, true, b"#%+?"),
    COMPONENT,
    &set(0x20, true, b"\"#%'"),
    &set(0x20, true, b"\"'"),
    MEMCACHED,
    MEMCACHED,
];

const COMPONENT: &Set = &set(0x20, true, b"\"#$%&+,/:;<=>?@[\\]^`{|}");
const MEMCACHED: &Set = &set(0x20, false, b"%");

const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Appends a text, written as `kind` says. Nothing when there is no such kind.
pub(crate) fn uri(out: &mut Vec<u8>, text: &[u8], kind: usize) {
    if let Some(set) = SETS.get(kind) {
        escape(out, text, set);
    }
}

/// Appends a part of a URI.
pub(crate) fn component(out: &mut Vec<u8>, text: &[u8]) {
    escape(out, text, COMPONENT);
}

fn escape(out: &mut Vec<u8>, text: &[u8], set: &Set) {
    for byte in text {
        if set[usize::from(*byte)] {
            let digit = |half: u8| UPPER[usize::from(half)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        } else {
            out.push(*byte);
        }
    }
}

/// Output between two looks at `stop`.
const PIECE: usize = 64 * 1024;

/// Appends what a part of a URI says: `%XX` is a byte, `+` a space, and all else itself. False when it
/// was stopped.
pub(crate) fn unescape(out: &mut Vec<u8>, text: &[u8], stop: &dyn Fn() -> bool) -> bool {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut rest = text;
    loop {
        let byte = match rest {
            [] => return true,
            [b'%', high, low, tail @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                rest = tail;
                digit(*high).unwrap_or_default() << 4 | digit(*low).unwrap_or_default()
            }
            [first, tail @ ..] => {
                rest = tail;
                if *first == b'+' { b' ' } else { *first }
            }
        };
        out.push(byte);
        if out.len().is_multiple_of(PIECE) && stop() {
            return false;
        }
    }
}

/// The same as a text of its own; what there is of it when it was stopped.
pub(crate) fn unescaped(text: &[u8], stop: &dyn Fn() -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    unescape(&mut out, text, stop);
    out
}

/// Appends a text in quotes, as MySQL reads it.
pub(crate) fn sql(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        let letter = match byte {
            0 => b'0',
            0x08 => b'b',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x1a => b'Z',
            b'\\' | b'\'' | b'"' => *byte,
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        let all: Vec<u8> = (0x20..0x80).collect();
        for (kind, plain) in [
            (0, "!\"$&'()*+,-./:;<=>@[\\]^_`{|}~"),
            (1, "!\"$&'()*,-./:;<=>@[\\]^_`{|}~"),
            (2, "!'()*-._~"),
            (3, "!$&()*+,-./:;<=>?@[\\]^_`{|}~"),
            (4, "!#$%&()*+,-./:;<=>?@[\\]^_`{|}~"),
            (5, "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~\u{7f}"),
        ] {
            let kept = all.iter().copied().filter(|byte| {
                let mut out = Vec::new();
                uri(&mut out, &[*byte], kind);
                out == [*byte] && !byte.is_ascii_alphanumeric()
            });
            assert_eq!(String::from_utf8(kept.collect()).unwrap(), plain, "{kind}");
        }
        let mut out = Vec::new();
        uri(&mut out, "a 你".as_bytes(), 2);
        assert_eq!(out, b"a%20%E4%BD%A0");
    }

    #[test]
    fn readers_keep_what_is_not_escaped() {
        for (text, want) in [
            ("a%20b+c", "a b c"),
            ("%ua%%20%au", "%ua% %au"),
            ("%a", "%a"),
            ("%", "%"),
            ("good%20job%", "good job%"),
        ] {
            let mut out = Vec::new();
            assert!(unescape(&mut out, text.as_bytes(), &|| false));
            assert_eq!(out, want.as_bytes(), "{text}");
        }
        assert!(!unescape(&mut Vec::new(), &vec![b'%'; PIECE + 1], &|| true));
    }

    #[test]
    fn quotes() {
        let mut out = Vec::new();
        sql(&mut out, b"a\0\x08\n\r\t\x1a\\'\"\xff");
        assert_eq!(out, b"a\\0\\b\\n\\r\\t\\Z\\\\\\'\\\"\xff");
    }
}
