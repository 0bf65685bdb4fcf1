//! Messages of protobuf, as far as functions of Envoy's take and give them.

/// The field of a message that is text.
pub(crate) fn text(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => drop(varint(&mut message)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (text, rest) = message.split_at_checked(length)?;
                if key >> 3 == wanted {
                    return Some(text);
                }
                message = rest;
            }
            _ => return None,
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Adds a field below 16 that is text.
pub(super) fn put(message: &mut Vec<u8>, field: u8, text: &[u8]) {
    message.push(field << 3 | 2);
    let mut length = text.len();
    while length > 0x7f {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::{put, text};

    #[test]
    fn texts_of_a_message() {
        let message = b"\x0a\x02ab\x18\x96\x01\x12\x03xyz";
        assert_eq!(text(message, 1), Some(&b"ab"[..]));
        assert_eq!(text(message, 2), Some(&b"xyz"[..]));
        assert_eq!(text(message, 4), None);
        for cut in 0..message.len() {
            let _ = text(&message[..cut], 9);
        }
        assert_eq!(text(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1), None);
    }

    #[test]
    fn what_is_put_is_read() {
        for length in [0, 1, 127, 128, 300, 20_000] {
            let mut message = vec![0x08, 1];
            put(&mut message, 2, &vec![7; length]);
            assert_eq!(text(&message, 2), Some(&vec![7; length][..]));
        }
    }
}
