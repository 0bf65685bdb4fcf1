//! Header maps as they cross the boundary.
//!
//! ```text
//! count | (key length, value length) × count | (key NUL value NUL) × count      lengths: u32 LE
//! ```

/// Pairs of one map, at most.
pub const PAIRS_MAX: usize = 1024;
/// Bytes of one map, at most.
pub const BYTES_MAX: usize = pilotlight_abi::limit::HEADER_MAP as usize;

/// A map that is not one, or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed header map")]
pub struct Malformed;

/// A name and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// A value without the spaces around it, which are no part of it (RFC 9110 section 5.5): some filters leave them.
pub(crate) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Reads a map. No bytes, or a single zero byte, are an empty one.
///
/// # Errors
/// Lengths that lie outside of the bytes, terminators that are not NUL, more than [`PAIRS_MAX`]
/// pairs or [`BYTES_MAX`] bytes.
pub fn decode(blob: &[u8]) -> Result<Vec<Pair<'_>>, Malformed> {
    if blob.is_empty() || blob == [0] {
        return Ok(Vec::new());
    }
    let (count, sizes) = number(blob).ok_or(Malformed)?;
    if count > PAIRS_MAX || blob.len() > BYTES_MAX {
        return Err(Malformed);
    }
    let (mut sizes, mut data) = sizes.split_at_checked(count * 8).ok_or(Malformed)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (key_len, rest) = number(sizes).ok_or(Malformed)?;
        let (value_len, rest) = number(rest).ok_or(Malformed)?;
        let (key, after_key) = text(data, key_len).ok_or(Malformed)?;
        let (value, after_value) = text(after_key, value_len).ok_or(Malformed)?;
        pairs.push((key, value));
        (sizes, data) = (rest, after_value);
    }
    Ok(pairs)
}

/// Writes a map behind what `out` holds.
pub fn encode<'a>(pairs: impl Iterator<Item = Pair<'a>> + Clone, out: &mut Vec<u8>) {
    let sizes = pairs.clone();
    out.extend_from_slice(&(pairs.clone().count() as u32).to_le_bytes());
    for (key, value) in sizes {
        out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (key, value) in pairs {
        out.extend(key.iter().map(u8::to_ascii_lowercase));
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
}

/// Bytes that [`encode`] writes.
pub fn encoded_len<'a>(pairs: impl Iterator<Item = Pair<'a>>) -> usize {
    4 + pairs.map(|(key, value)| key.len() + value.len() + 10).sum::<usize>()
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number) as usize, rest))
}

fn text(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(len)?;
    match rest {
        [0, rest @ ..] => Some((text, rest)),
        _ => None,
    }
}
