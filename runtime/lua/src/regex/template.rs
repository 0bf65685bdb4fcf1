//! What `sub` and `gsub` put in a match's place: text with `$1`, `${1}`, `$0` and `$$` in it.

use std::ops::Range;

/// Bytes of a replacement that may be kept.
const KEPT: usize = 1024;

/// A replacement, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    source: Box<[u8]>,
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// Bytes of the replacement itself.
    Text(Range<usize>),
    Group(usize),
}

impl Template {
    /// Reads a replacement.
    ///
    /// # Errors
    /// What is wrong with it, as nginx's log would have it.
    pub(super) fn read(source: &[u8]) -> Result<Template, Vec<u8>> {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < source.len() {
            let dollar = memchr::memchr(b'$', &source[at..]).map_or(source.len(), |next| at + next);
            if dollar > at {
                parts.push(Part::Text(at..dollar));
            }
            if dollar == source.len() {
                break;
            }
            let (part, end) = variable(source, dollar + 1)?;
            parts.push(part);
            at = end;
        }
        Ok(Template { source: source.into(), parts })
    }

    pub(super) fn is_of(&self, source: &[u8]) -> bool {
        *self.source == *source
    }

    pub(super) fn is_small(&self) -> bool {
        self.source.len() <= KEPT
    }

    /// Appends the replacement of a match; `group` gives the bytes of each.
    pub(super) fn expand<'a>(&self, group: impl Fn(usize) -> &'a [u8], out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(range) => out.extend_from_slice(&self.source[range.clone()]),
                Part::Group(number) => out.extend_from_slice(group(*number)),
            }
        }
    }
}

/// What stands behind a `$`, and where it ends.
fn variable(source: &[u8], at: usize) -> Result<(Part, usize), Vec<u8>> {
    let byte = |at: usize| source.get(at).copied();
    if byte(at) == Some(b'$') {
        return Ok((Part::Text(at..at + 1), at + 1));
    }
    let bracket = byte(at) == Some(b'{');
    let start = at + usize::from(bracket);
    let numeric = byte(start).is_some_and(|byte| byte.is_ascii_digit());
    let is_name = |byte: &u8| match numeric {
        true => byte.is_ascii_digit(),
        false => byte.is_ascii_alphanumeric() || *byte == b'_',
    };
    let name = &source[start.min(source.len())..];
    let name = &name[..name.iter().position(|byte| !is_name(byte)).unwrap_or(name.len())];
    let end = start + name.len();
    if start >= source.len() {
        return Err(invalid(source));
    }
    if bracket && byte(end) != Some(b'}') {
        return Err(quote(b"the closing bracket in \"", name, b"\" variable is missing"));
    }
    if name.is_empty() {
        return Err(invalid(source));
    }
    if !numeric {
        let what = b"attempt to use named capturing variable \"";
        return Err(quote(what, name, b"\" (named captures not supported yet)"));
    }
    let number = name.iter().fold(0usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    });
    Ok((Part::Group(number), end + usize::from(bracket)))
}

fn invalid(source: &[u8]) -> Vec<u8> {
    quote(b"lua script: invalid capturing variable name found in \"", source, b"\"")
}

fn quote(before: &[u8], text: &[u8], after: &[u8]) -> Vec<u8> {
    [before, text, after].concat()
}

#[cfg(test)]
mod tests;
