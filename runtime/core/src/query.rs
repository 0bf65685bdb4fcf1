//! The pairs of a query string: `a=1&b=2`, as forms write them.

use std::borrow::Cow;

/// The pairs in order, decoded: `+` is a blank, `%41` is `A`, an escape that is none stays as it
/// is. `a` alone has an empty value; nothing between two `&` is no pair. Allocates only where
/// something is encoded.
pub fn pairs(query: &[u8]) -> Pairs<'_> {
    Pairs { rest: Some(query) }
}

/// Iterator of [`pairs`].
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Cow<'a, [u8]>, Cow<'a, [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest?;
            let (piece, rest) = split(rest, b'&');
            self.rest = rest;
            if !piece.is_empty() {
                let (name, value) = split(piece, b'=');
                return Some((decode(name), decode(value.unwrap_or_default())));
            }
        }
    }
}

/// Decodes `+` and escapes.
pub fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'%', b'+', text) else {
        return Cow::Borrowed(text);
    };
    let (plain, mut rest) = text.split_at(first);
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(plain);
    while let Some((&byte, after)) = rest.split_first() {
        (out, rest) = match byte {
            b'+' => (push(out, b' '), after),
            b'%' => match escaped(after) {
                Some((byte, after)) => (push(out, byte), after),
                None => (push(out, b'%'), after),
            },
            _ => (push(out, byte), after),
        };
    }
    Cow::Owned(out)
}

/// Whether a pair of that name is there, with that value if one is asked for.
pub fn has(query: &[u8], name: &[u8], value: Option<&[u8]>) -> bool {
    pairs(query).any(|(n, v)| *n == *name && value.is_none_or(|value| *v == *value))
}

fn split(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(at, text) {
        Some(index) => (&text[..index], Some(&text[index + 1..])),
        None => (text, None),
    }
}

fn escaped(after: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], after) = after.split_first_chunk()?;
    let digit = |byte: u8| (byte as char).to_digit(16);
    Some(((digit(high)? * 16 + digit(low)?) as u8, after))
}

fn push(mut out: Vec<u8>, byte: u8) -> Vec<u8> {
    out.push(byte);
    out
}

#[cfg(test)]
mod tests;
