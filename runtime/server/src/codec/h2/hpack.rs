//! Field blocks (RFC 7541). What comes is decoded with the dynamic table that peers expect; what goes
//! out uses the static table alone, and no Huffman code: an encoder's table would cost every idle
//! connection its memory and every line a search, to save bytes where they are cheapest.

mod table;

use pilotlight_filter::{Fields, Name, RequestHead};

use self::table::Table;
use crate::codec::h1::body::allowed_in_trailers;
use crate::codec::packing::{self, BadCode, Reader, number, string};
use crate::codec::{Length, section};

/// Turns blocks into lines, one connection's in order.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    table: Table,
    rooms: (Vec<u8>, Vec<u8>),
}

/// Rooms that grew past this are not kept.
const ROOM_MAX: usize = 256;

impl Decoder {
    /// Gives the lines of a block to `take`, in order. A block is always decoded to its end: the next
    /// one depends on it.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        mut take: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), BadCode> {
        let mut rest = Reader(block);
        // Section 4.2: sizes change before the first line only.
        while rest.0.first().is_some_and(|first| first >> 5 == 1) {
            let size = usize::try_from(rest.number(5)?).map_err(|_| BadCode)?;
            if !self.table.resize(size) {
                return Err(BadCode);
            }
        }
        while let Some(&first) = rest.0.first() {
            match first {
                // Indexed (section 6.1).
                0x80.. => {
                    let (name, value) = entry(&self.table, rest.number(7)?)?;
                    take(name, value);
                }
                // A literal that joins the table (section 6.2.1).
                0x40..=0x7f => self.literal(&mut rest, 6, true, &mut take)?,
                0x20..=0x3f => return Err(BadCode),
                // A literal that does not (sections 6.2.2 and 6.2.3).
                _ => self.literal(&mut rest, 4, false, &mut take)?,
            }
        }
        for room in [&mut self.rooms.0, &mut self.rooms.1] {
            if room.capacity() > ROOM_MAX {
                *room = Vec::new();
            }
        }
        Ok(())
    }

    fn literal(
        &mut self,
        rest: &mut Reader<'_>,
        prefix: u32,
        joins: bool,
        take: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), BadCode> {
        let (name_room, value_room) = &mut self.rooms;
        let index = rest.number(prefix)?;
        if index == 0 {
            let (name, value) = (rest.string(7, name_room)?, rest.string(7, value_room)?);
            take(name, value);
            if joins {
                self.table.add(name, value);
            }
            return Ok(());
        }
        let (name, _) = entry(&self.table, index)?;
        let value = rest.string(7, value_room)?;
        take(name, value);
        if joins {
            // The entry that gives the name may leave the table for this one (section 4.4).
            name_room.clear();
            name_room.extend_from_slice(name);
            self.table.add(name_room, value);
        }
        Ok(())
    }
}

fn entry(table: &Table, index: u64) -> Result<(&[u8], &[u8]), BadCode> {
    usize::try_from(index).ok().and_then(|index| table.get(index)).ok_or(BadCode)
}

/// Says that we use no dynamic table. It stands before a connection's first line (section 4.2), so
/// that a peer which allows none later on hears nothing new.
pub(super) const NO_TABLE: u8 = 0x20;

/// Appends a response's block.
pub(super) fn response(out: &mut Vec<u8>, status: u16, fields: &Fields, length: Length) {
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => 0,
    };
    match index {
        0 => {
            out.push(8);
            string(out, itoa::Buffer::new().format(status).as_bytes());
        }
        index => out.push(0x80 | index),
    }
    rest(out, fields, length, length == Length::None);
}

/// Appends a request's block.
pub(crate) fn request(out: &mut Vec<u8>, head: &RequestHead, secure: bool, length: Length) {
    match head.method_text() {
        b"GET" => out.push(0x82),
        b"POST" => out.push(0x83),
        other => {
            out.push(2);
            string(out, other);
        }
    }
    out.push(if secure { 0x87 } else { 0x86 });
    out.push(1);
    string(out, head.authority());
    let query = head.query();
    match (head.path(), query) {
        (b"/", None) => out.push(0x84),
        (path, query) => {
            out.push(4);
            let more = query.map_or(0, |query| query.len() + 1);
            number(out, 0, 7, (path.len() + more) as u64);
            out.extend_from_slice(path);
            if let Some(query) = query {
                out.push(b'?');
                out.extend_from_slice(query);
            }
        }
    }
    rest(out, &head.fields, length, false);
}

/// Appends a trailer block; false when there is nothing that trailers may carry.
pub(super) fn trailers(out: &mut Vec<u8>, list: &Fields) -> bool {
    let before = out.len();
    for (id, name, value) in list.iter() {
        if allowed_in_trailers(id, name) {
            line(out, id, name, value);
        }
    }
    out.len() > before
}

fn rest(out: &mut Vec<u8>, fields: &Fields, length: Length, keeps_length: bool) {
    for (id, name, value) in section::outgoing(fields, keeps_length) {
        line(out, id, name, value);
    }
    if let Length::Exact(bytes) = length {
        let digits = &mut itoa::Buffer::new();
        line(out, Name::ContentLength, b"content-length", digits.format(bytes).as_bytes());
    }
}

#[inline]
fn line(out: &mut Vec<u8>, id: Name, name: &[u8], value: &[u8]) {
    // Section 7.1.3: what must not be guessed is never indexed by anyone on the way.
    let pattern = match id {
        Name::Authorization | Name::Cookie | Name::SetCookie => 0x10,
        _ => 0,
    };
    match static_name(id, name) {
        Some(index) => number(out, pattern, 4, index),
        None => {
            out.push(pattern);
            packing::name(out, 0, 7, name);
        }
    }
    string(out, value);
}

/// The static table's index of a name, where it has one that is met often.
fn static_name(id: Name, name: &[u8]) -> Option<u64> {
    Some(match id {
        Name::Accept => 19,
        Name::AcceptEncoding => 16,
        Name::Authorization => 23,
        Name::CacheControl => 24,
        Name::ContentEncoding => 26,
        Name::ContentLength => 28,
        Name::ContentType => 31,
        Name::Cookie => 32,
        Name::Date => 33,
        Name::Etag => 34,
        Name::Location => 46,
        Name::Range => 50,
        Name::RetryAfter => 53,
        Name::Server => 54,
        Name::SetCookie => 55,
        Name::UserAgent => 58,
        Name::Vary => 59,
        Name::Via => 60,
        Name::Other if name.eq_ignore_ascii_case(b"last-modified") => 44,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
