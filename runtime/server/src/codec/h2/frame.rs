//! HTTP/2 frames (RFC 9113 sections 4 and 6), without I/O: bytes to frames under police, and back.
//!
//! DATA passes through as it arrives; all else has to be whole to be understood, and is small.

use bytes::{Buf, Bytes, BytesMut};

/// An error code (section 7). Peers may send others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u32);

impl Code {
    pub(crate) const NO_ERROR: Code = Code(0x0);
    pub(crate) const PROTOCOL: Code = Code(0x1);
    pub(crate) const INTERNAL: Code = Code(0x2);
    pub(crate) const FLOW_CONTROL: Code = Code(0x3);
    pub(crate) const STREAM_CLOSED: Code = Code(0x5);
    pub(crate) const FRAME_SIZE: Code = Code(0x6);
    pub(crate) const REFUSED: Code = Code(0x7);
    pub(crate) const CANCEL: Code = Code(0x8);
    pub(crate) const COMPRESSION: Code = Code(0x9);
    pub(crate) const CALM: Code = Code(0xb);
}

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection ends (section 5.4.1).
    Connection(Code),
    /// A stream is reset (section 5.4.2).
    Stream(u32, Code),
}

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PUSH_PROMISE: u8 = 0x5;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITIZED: u8 = 0x20;

/// Bytes before a payload.
pub(super) const HEADER: usize = 9;
/// A payload, at most: what every peer takes, and all that we take.
pub(super) const PAYLOAD_MAX: usize = 16 * 1024;
/// The largest window (section 6.9.1).
pub(super) const WINDOW_MAX: i64 = (1 << 31) - 1;
/// Section 3.4.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Header> {
        let [a, b, c, kind, flags, s, t, u, v] = *bytes.first_chunk::<HEADER>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        // The reserved bit has no meaning.
        let stream = u32::from_be_bytes([s, t, u, v]) & 0x7fff_ffff;
        Some(Header { length, kind, flags, stream })
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A DATA frame begins: all of it counts against the windows, these bytes of padding too.
    Data(Header, usize),
    /// Bytes of the DATA frame under way; `ends`: the last of the stream.
    Part { stream: u32, bytes: Bytes, ends: bool },
    /// Any other frame: its payload stands behind [`HEADER`] bytes of the input, to be taken away.
    Whole(Header),
}

/// Finds frames in what was read.
#[derive(Debug, Default)]
pub(super) struct Parser {
    data: Option<Data>,
    /// Bytes of padding to drop.
    padding: usize,
}

#[derive(Debug, Clone, Copy)]
struct Data {
    stream: u32,
    left: usize,
    ends: bool,
}

impl Parser {
    /// The next piece; `None` when more has to come. DATA is taken from `input`.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, Fault> {
        if let Some(data) = &mut self.data {
            if input.is_empty() && data.left > 0 {
                return Ok(None);
            }
            let bytes = match data.left {
                0 => Bytes::new(),
                left => input.split_to(left.min(input.len())).freeze(),
            };
            data.left -= bytes.len();
            let (stream, last) = (data.stream, data.left == 0);
            let ends = last && data.ends;
            if last {
                self.data = None;
            }
            return Ok(Some(Piece::Part { stream, bytes, ends }));
        }
        let padding = self.padding.min(input.len());
        input.advance(padding);
        self.padding -= padding;
        let Some(header) = Header::of(input) else { return Ok(None) };
        if header.length > PAYLOAD_MAX {
            return Err(Fault::Connection(Code::FRAME_SIZE));
        }
        if header.kind == DATA {
            return self.begin(header, input);
        }
        Ok((input.len() >= HEADER + header.length).then_some(Piece::Whole(header)))
    }

    fn begin(&mut self, header: Header, input: &mut BytesMut) -> Result<Option<Piece>, Fault> {
        let mut left = header.length;
        if header.has(PADDED) {
            if left == 0 {
                return Err(Fault::Connection(Code::FRAME_SIZE));
            }
            let Some(padding) = input.get(HEADER) else { return Ok(None) };
            self.padding = usize::from(*padding);
            // Section 6.1.
            left = (left - 1).checked_sub(self.padding).ok_or(Fault::Connection(Code::PROTOCOL))?;
            input.advance(1);
        }
        input.advance(HEADER);
        let (stream, ends) = (header.stream, header.has(END_STREAM));
        self.data = Some(Data { stream, left, ends });
        Ok(Some(Piece::Data(header, header.length - left)))
    }
}

/// A field block's fragment in HEADERS, without padding and priority (section 6.2). The flag says
/// that the stream was made to depend on itself (RFC 7540 section 5.3.1).
pub(super) fn fragment(header: Header, payload: &[u8]) -> Result<(&[u8], bool), Fault> {
    let short = Fault::Connection(Code::FRAME_SIZE);
    let (mut rest, mut padding) = (payload, 0);
    if header.has(PADDED) {
        let (first, after) = rest.split_first().ok_or(short)?;
        (padding, rest) = (usize::from(*first), after);
    }
    let mut own = false;
    if header.has(PRIORITIZED) {
        let (priority, after) = rest.split_at_checked(5).ok_or(short)?;
        own = word(priority)? & 0x7fff_ffff == header.stream;
        rest = after;
    }
    let length = rest.len().checked_sub(padding).ok_or(Fault::Connection(Code::PROTOCOL))?;
    Ok((&rest[..length], own))
}

/// The 32 bits that a payload begins with.
pub(super) fn word(payload: &[u8]) -> Result<u32, Fault> {
    let first = payload.first_chunk::<4>().ok_or(Fault::Connection(Code::FRAME_SIZE))?;
    Ok(u32::from_be_bytes(*first))
}

/// What a peer may set (section 6.5.2); others have no meaning for us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Streams that we may open at once.
    pub(super) streams: Option<u32>,
    /// A new stream's window for what we send.
    pub(super) window: Option<u32>,
}

const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;

impl Settings {
    /// `push`: whether the peer may say that it takes pushes.
    pub(super) fn of(payload: &[u8], push: bool) -> Result<Settings, Fault> {
        let mut settings = Settings::default();
        let rows = payload.chunks_exact(6);
        if !rows.remainder().is_empty() {
            return Err(Fault::Connection(Code::FRAME_SIZE));
        }
        for row in rows {
            let value = word(&row[2..])?;
            match u16::from_be_bytes([row[0], row[1]]) {
                ENABLE_PUSH if value > u32::from(push) => {
                    return Err(Fault::Connection(Code::PROTOCOL));
                }
                MAX_CONCURRENT_STREAMS => settings.streams = Some(value),
                INITIAL_WINDOW_SIZE if i64::from(value) > WINDOW_MAX => {
                    return Err(Fault::Connection(Code::FLOW_CONTROL));
                }
                INITIAL_WINDOW_SIZE => settings.window = Some(value),
                MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => {
                    return Err(Fault::Connection(Code::PROTOCOL));
                }
                _ => {}
            }
        }
        Ok(settings)
    }
}

/// What we set, from our first frame on.
pub(super) struct Offer {
    /// `None`: we take no streams, and no pushes.
    pub(super) streams: Option<u32>,
    pub(super) window: u32,
    pub(super) list: u32,
}

impl Offer {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let first = match self.streams {
            Some(streams) => (MAX_CONCURRENT_STREAMS, streams),
            None => (ENABLE_PUSH, 0),
        };
        put_header(out, 18, SETTINGS, 0, 0);
        for (id, value) in
            [first, (INITIAL_WINDOW_SIZE, self.window), (MAX_HEADER_LIST_SIZE, self.list)]
        {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Appends what stands before a payload.
#[inline]
pub(super) fn put_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [s, t, u, v] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, s, t, u, v]);
}

/// Appends a frame whose payload is one word: RST_STREAM, WINDOW_UPDATE.
pub(super) fn put_word(out: &mut Vec<u8>, kind: u8, stream: u32, word: u32) {
    put_header(out, 4, kind, 0, stream);
    out.extend_from_slice(&word.to_be_bytes());
}

/// Appends GOAWAY.
pub(super) fn put_goaway(out: &mut Vec<u8>, last: u32, code: Code) {
    put_header(out, 8, GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Turns the block that stands from `at` on, behind room for a header, into HEADERS, and into
/// CONTINUATION where it is longer than a frame.
pub(super) fn close_block(out: &mut Vec<u8>, at: usize, stream: u32, flags: u8) {
    let length = out.len() - at - HEADER;
    let mut header = Vec::with_capacity(HEADER);
    if length <= PAYLOAD_MAX {
        put_header(&mut header, length, HEADERS, flags | END_HEADERS, stream);
        out[at..at + HEADER].copy_from_slice(&header);
        return;
    }
    let block = out.split_off(at + HEADER);
    out.truncate(at);
    let last = block.len().div_ceil(PAYLOAD_MAX) - 1;
    for (index, part) in block.chunks(PAYLOAD_MAX).enumerate() {
        let kind = if index == 0 { HEADERS } else { CONTINUATION };
        let first = if index == 0 { flags } else { 0 };
        let end = if index == last { END_HEADERS } else { 0 };
        put_header(out, part.len(), kind, first | end, stream);
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
