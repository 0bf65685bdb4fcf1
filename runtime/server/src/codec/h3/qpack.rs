//! Field sections (RFC 9204) with the static table alone: we announce a dynamic table of size 0,
//! so no section ever waits for another stream, and none can grow our memory.

mod table;

use pilotlight_filter::{Fields, ResponseHead};

use self::table::STATIC;
use crate::codec::h1::body::allowed_in_trailers;
use crate::codec::h1::head::BadHead;
use crate::codec::packing::{self, BadCode, Reader, number, string};
use crate::codec::{Length, section};

/// Why a section was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadSection {
    /// The encoding is broken: the connection ends with `QPACK_DECOMPRESSION_FAILED`.
    Encoding,
    /// A line is: see [`BadHead`].
    Line(BadHead),
}

impl From<BadCode> for BadSection {
    fn from(_: BadCode) -> BadSection {
        BadSection::Encoding
    }
}

/// Gives the lines of a section to `take`, in order.
pub(super) fn decode(
    section: &[u8],
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), BadHead>,
) -> Result<(), BadSection> {
    let mut rest = Reader(section);
    // Required insert count, which is 0 without a dynamic table, and a base that then means nothing.
    if rest.number(8)? != 0 {
        return Err(BadSection::Encoding);
    }
    rest.number(7)?;
    let (mut name_room, mut value_room) = (Vec::new(), Vec::new());
    while let Some(&first) = rest.0.first() {
        let (name, value): (&[u8], &[u8]) = match first {
            // Indexed, static.
            0xc0.. => {
                let (name, value) = entry(rest.number(6)?)?;
                (name.as_bytes(), value.as_bytes())
            }
            // A literal value with a name of the static table.
            0x50..=0x5f | 0x70..=0x7f => {
                let (name, _) = entry(rest.number(4)?)?;
                (name.as_bytes(), rest.string(7, &mut value_room)?)
            }
            // A literal name and value.
            0x20..=0x3f => (rest.string(3, &mut name_room)?, rest.string(7, &mut value_room)?),
            // All others refer to the dynamic table.
            _ => return Err(BadSection::Encoding),
        };
        take(name, value).map_err(BadSection::Line)?;
    }
    Ok(())
}

fn entry(index: u64) -> Result<(&'static str, &'static str), BadSection> {
    usize::try_from(index).ok().and_then(|i| STATIC.get(i)).copied().ok_or(BadSection::Encoding)
}

/// Appends a response's section.
pub(super) fn response(out: &mut Vec<u8>, head: &ResponseHead, length: Length) {
    out.extend_from_slice(&[0, 0]);
    let status = match head.status {
        100 => Some(63),
        103 => Some(24),
        200 => Some(25),
        204 => Some(64),
        206 => Some(65),
        302 => Some(66),
        304 => Some(26),
        400 => Some(67),
        403 => Some(68),
        404 => Some(27),
        421 => Some(69),
        425 => Some(70),
        500 => Some(71),
        503 => Some(28),
        _ => None,
    };
    match status {
        Some(index) => number(out, 0xc0, 6, index),
        None => {
            number(out, 0x50, 4, 24);
            string(out, itoa::Buffer::new().format(head.status).as_bytes());
        }
    }
    for (_, name, value) in section::outgoing(&head.fields, length == Length::None) {
        line(out, name, value);
    }
    if let Length::Exact(bytes) = length {
        line(out, b"content-length", itoa::Buffer::new().format(bytes).as_bytes());
    }
}

/// Appends a trailer section; false when there is nothing that trailers may carry.
pub(super) fn trailers(out: &mut Vec<u8>, list: &Fields) -> bool {
    out.extend_from_slice(&[0, 0]);
    let mut any = false;
    for (id, name, value) in list.iter() {
        if allowed_in_trailers(id, name) {
            line(out, name, value);
            any = true;
        }
    }
    any
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match static_name(name) {
        Some(index) => number(out, 0x50, 4, index),
        None => packing::name(out, 0x20, 3, name),
    }
    string(out, value);
}

/// Indexes of names that responses carry often.
fn static_name(name: &[u8]) -> Option<u64> {
    const NAMES: [(&[u8], u64); 18] = [
        (b"age", 2),
        (b"date", 6),
        (b"etag", 7),
        (b"link", 11),
        (b"vary", 59),
        (b"server", 92),
        (b"alt-svc", 83),
        (b"location", 12),
        (b"set-cookie", 14),
        (b"content-type", 44),
        (b"accept-ranges", 32),
        (b"cache-control", 36),
        (b"last-modified", 10),
        (b"content-length", 4),
        (b"content-encoding", 42),
        (b"content-disposition", 3),
        (b"strict-transport-security", 56),
        (b"access-control-allow-origin", 35),
    ];
    let same = |known: &[u8]| known.len() == name.len() && known.eq_ignore_ascii_case(name);
    NAMES.iter().find(|(known, _)| same(known)).map(|(_, index)| *index)
}

#[cfg(test)]
mod tests;
