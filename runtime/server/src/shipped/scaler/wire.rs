//! As much of protobuf and of gRPC's framing as a scaler needs.

use bytes::{BufMut, Bytes, BytesMut};

/// A message in the form in which it came.
#[derive(Clone, Copy)]
pub(super) struct Message<'a>(pub(super) &'a [u8]);

impl<'a> Message<'a> {
    /// The fields that are bytes, texts or messages, by number; the others are passed over. `None`: malformed.
    pub(super) fn each(self) -> Option<Vec<(u64, &'a [u8])>> {
        let (mut rest, mut all) = (self.0, Vec::new());
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            match key & 7 {
                0 => drop(varint(&mut rest)?),
                1 => rest = rest.get(8..)?,
                5 => rest = rest.get(4..)?,
                2 => {
                    let length = usize::try_from(varint(&mut rest)?).ok()?;
                    let (value, behind) = rest.split_at_checked(length)?;
                    all.push((key >> 3, value));
                    rest = behind;
                }
                _ => return None,
            }
        }
        Some(all)
    }

    /// The last such field of a number.
    pub(super) fn find(self, number: u64) -> Option<&'a [u8]> {
        let mut found = self.each()?.into_iter().filter(|(known, _)| *known == number);
        found.next_back().map(|(_, value)| value)
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A message that is being written.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(super) fn whole(&mut self, number: u64, value: u64) {
        self.varint(number << 3);
        self.varint(value);
    }

    pub(super) fn bool(&mut self, number: u64, value: bool) {
        self.whole(number, u64::from(value));
    }

    pub(super) fn double(&mut self, number: u64, value: f64) {
        self.varint(number << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, number: u64, value: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }
}

/// The one message of a call, which must not be compressed.
pub(super) fn framed(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    (head[0] == 0 && length as usize == message.len()).then_some(message)
}

/// A message as it goes out.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}
