//! The one form of a path that routes, filters and upstreams all see.
//!
//! RFC 3986 section 6.2.2, and stricter where servers disagree about what a path means: such a
//! path is refused, so that what was matched is what is forwarded.
//!
//! The canonical form begins with `/`, has no empty segment but the last, no `.` and `..`
//! segments, holds only characters that RFC 3986 allows in a path, and escapes (in upper case)
//! only what must be escaped. `%2F` stays as it is: it is data, not a separator.

/// Why a path has no canonical form. All of them are answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    Relative,
    /// `%` without two hexadecimal digits.
    #[error("the path holds a broken percent-escape")]
    Escape,
    /// NUL, another control character or a blank, raw or escaped (blanks may be escaped).
    #[error("the path holds a control character")]
    Control,
    /// `\`, which some servers take for `/`.
    #[error("the path holds a backslash")]
    Backslash,
    /// `?` or `#`, which end a path.
    #[error("the path holds a query or a fragment")]
    Delimiter,
    /// More `..` than segments before them.
    #[error("the path climbs above its root")]
    AboveRoot,
    /// `..;`, which some servers take for `..` with a parameter.
    #[error("the path holds a dot segment with a parameter")]
    DotParameter,
}

/// Whether [`canonicalise`] would give back the same bytes. One pass; what all requests pay.
pub fn is_canonical(path: &[u8]) -> bool {
    if path.first() != Some(&b'/') {
        return false;
    }
    let mut at = 1;
    // At the start of a segment a dot may be one of those that are removed.
    if is_dotted(path, at) {
        return false;
    }
    while let Some(&byte) = path.get(at) {
        at += match CLASS[byte as usize] {
            Class::Plain => 1,
            Class::Slash => {
                let next = path.get(at + 1);
                if next == Some(&b'/') || (next == Some(&b'.') && is_dotted(path, at + 1)) {
                    return false;
                }
                1
            }
            Class::Percent => {
                if !is_needed_escape(path, at) {
                    return false;
                }
                3
            }
            Class::Encode | Class::Refuse => return false,
        };
    }
    // `//` alone: the loop begins after the first slash.
    path.get(1) != Some(&b'/')
}

/// The canonical form.
///
/// # Errors
/// [`BadPath`], when servers would disagree about what the path means.
pub fn canonicalise(path: &[u8]) -> Result<Vec<u8>, BadPath> {
    let Some(rest) = path.strip_prefix(b"/") else {
        return Err(BadPath::Relative);
    };
    let decoded = normalise_escapes(rest)?;
    let mut out = Vec::with_capacity(decoded.len() + 1);
    let mut folder = true;
    for segment in decoded.split(|byte| *byte == b'/') {
        folder = true;
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = memchr::memrchr(b'/', &out).ok_or(BadPath::AboveRoot)?;
                out.truncate(parent);
            }
            [b'.', b';', ..] | [b'.', b'.', b';', ..] => return Err(BadPath::DotParameter),
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
                folder = false;
            }
        }
    }
    if folder {
        out.push(b'/');
    }
    Ok(out)
}

/// Escapes that are not needed are decoded, missing ones added, all in upper case.
fn normalise_escapes(raw: &[u8]) -> Result<Vec<u8>, BadPath> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        at += 1;
        match CLASS[byte as usize] {
            Class::Plain | Class::Slash => out.push(byte),
            Class::Encode => push_escape(byte, &mut out),
            Class::Refuse => {
                return Err(match byte {
                    b'\\' => BadPath::Backslash,
                    b'?' | b'#' => BadPath::Delimiter,
                    _ => BadPath::Control,
                });
            }
            Class::Percent => {
                let byte = escaped(raw, at - 1).ok_or(BadPath::Escape)?;
                at += 2;
                if byte.is_ascii_control() {
                    return Err(BadPath::Control);
                }
                if is_unreserved(byte) { out.push(byte) } else { push_escape(byte, &mut out) }
            }
        }
    }
    Ok(out)
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]);
}

/// The byte that the escape at `at` stands for.
fn escaped(text: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| (*text.get(at + offset)? as char).to_digit(16);
    Some((digit(1)? * 16 + digit(2)?) as u8)
}

/// Whether the escape at `at` is as the canonical form writes it.
fn is_needed_escape(path: &[u8], at: usize) -> bool {
    let upper = |offset: usize| path.get(at + offset).is_some_and(|b| !b.is_ascii_lowercase());
    upper(1)
        && upper(2)
        && escaped(path, at).is_some_and(|byte| !is_unreserved(byte) && !byte.is_ascii_control())
}

/// Whether the segment that begins at `at` is a dot segment, or looks like one.
fn is_dotted(path: &[u8], at: usize) -> bool {
    let rest = path.get(at..).unwrap_or_default();
    let rest = rest.strip_prefix(b".").map(|rest| rest.strip_prefix(b".").unwrap_or(rest));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b';')))
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[derive(Clone, Copy)]
enum Class {
    /// Stands for itself: `pchar` of RFC 3986 section 3.3.
    Plain,
    Slash,
    Percent,
    /// Not allowed raw, but harmless: is escaped.
    Encode,
    Refuse,
}

static CLASS: [Class; 256] = {
    let mut table = [Class::Encode; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'/' => Class::Slash,
            b'%' => Class::Percent,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':'
            | b'@' => Class::Plain,
            b'\\' | b'?' | b'#' | 0..=b' ' | 0x7f => Class::Refuse,
            byte if is_unreserved(byte) => Class::Plain,
            _ => Class::Encode,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
pub(crate) mod tests;
