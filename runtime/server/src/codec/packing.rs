//! Integers and strings of HPACK and QPACK (RFC 7541 section 5): both protocols pack their field
//! sections with these.

mod huffman;

pub(crate) use huffman::BadCode;

/// Reads packed bytes from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// Section 5.1: an integer whose first `prefix` bits stand in the first byte.
    #[inline]
    pub(crate) fn number(&mut self, prefix: u32) -> Result<u64, BadCode> {
        let (&first, mut rest) = self.0.split_first().ok_or(BadCode)?;
        let full = (1u64 << prefix) - 1;
        let mut number = u64::from(first) & full;
        let mut shift = 0;
        while number >= full {
            let (&byte, after) = rest.split_first().ok_or(BadCode)?;
            rest = after;
            if shift > 28 {
                return Err(BadCode);
            }
            number += u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        self.0 = rest;
        Ok(number)
    }

    /// Section 5.2: a string whose length has `prefix` bits in the first byte, behind the bit for
    /// Huffman. `room` takes what has to be decoded.
    #[inline]
    pub(crate) fn string<'b>(
        &mut self,
        prefix: u32,
        room: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], BadCode>
    where
        'a: 'b,
    {
        let coded = self.0.first().is_some_and(|first| first >> prefix & 1 == 1);
        let length = usize::try_from(self.number(prefix)?).map_err(|_| BadCode)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(BadCode)?;
        self.0 = rest;
        if !coded {
            return Ok(bytes);
        }
        room.clear();
        huffman::decode(bytes, room)?;
        Ok(room)
    }
}

/// Appends an integer; `pattern` holds the bits before its prefix.
#[inline]
pub(crate) fn number(out: &mut Vec<u8>, pattern: u8, prefix: u32, value: u64) {
    let full = (1u64 << prefix) - 1;
    if value < full {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a value as it is: to code it would cost more than the bytes it saves.
#[inline]
pub(crate) fn string(out: &mut Vec<u8>, value: &[u8]) {
    number(out, 0, 7, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a name in lower case, its length with `prefix` bits behind `pattern`.
#[inline]
pub(crate) fn name(out: &mut Vec<u8>, pattern: u8, prefix: u32, name: &[u8]) {
    number(out, pattern, prefix, name.len() as u64);
    let from = out.len();
    out.extend_from_slice(name);
    out[from..].make_ascii_lowercase();
}

#[cfg(test)]
mod tests;
