//! Bodies of HTTP/1 messages (RFC 9112 sections 6 and 7): takes bytes, gives frames.

use bytes::{Buf, Bytes, BytesMut};
use pilotlight_filter::{BodyError, Fields, Frame};

use super::head::{self, Bounds, Framing};

/// Where a body ends.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// There is none, or no more of it.
    Done,
    /// So many bytes are left.
    Counted(u64),
    /// Chunked; see [`Chunked`].
    Chunked(Chunked),
    /// With the connection (responses only).
    UntilClose,
}

/// Where a chunked body stands.
#[derive(Debug)]
pub(crate) enum Chunked {
    /// Before a chunk's size line.
    Size,
    /// Within a chunk, so many bytes left.
    Data(u64),
    /// Before the CRLF that ends a chunk.
    DataEnd,
    /// Within the trailer section; the size of what was seen.
    Trailers,
}

/// What a decoder made of the bytes it was shown.
pub(crate) enum Decoded {
    /// A frame.
    Frame(Frame),
    /// The end of the message.
    End,
    /// More bytes are needed.
    More,
}

/// The longest size line: 16 digits, and extensions that are dropped unread.
const SIZE_LINE_MAX: usize = 16 + 256;
/// Trailers.
const TRAILERS: Bounds = Bounds { bytes: 8 * 1024, fields: 64, uri: 0 };

impl Decoder {
    /// The decoder for a message of this framing; `until_close` for responses without a length.
    pub(crate) fn new(framing: &Framing, until_close: bool) -> Decoder {
        match (framing.chunked, framing.length) {
            (true, _) => Decoder::Chunked(Chunked::Size),
            (false, Some(0)) => Decoder::Done,
            (false, Some(length)) => Decoder::Counted(length),
            (false, None) if until_close => Decoder::UntilClose,
            (false, None) => Decoder::Done,
        }
    }

    /// Whether the message has ended.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Decoder::Done)
    }

    /// Bytes worth asking the transport for; never past the message where its end is known.
    pub(crate) fn appetite(&self, most: usize) -> usize {
        match self {
            Decoder::Counted(left) => usize::try_from(*left).unwrap_or(most).min(most),
            _ => most,
        }
    }

    /// Takes the next frame out of `buffer`.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, BodyError> {
        match self {
            Decoder::Done => Ok(Decoded::End),
            Decoder::Counted(left) => {
                let part = take(buffer, left);
                if *left == 0 {
                    *self = Decoder::Done;
                }
                Ok(part.map_or(Decoded::More, |p| Decoded::Frame(Frame::Data(p))))
            }
            Decoder::UntilClose if buffer.is_empty() => Ok(Decoded::More),
            Decoder::UntilClose => Ok(Decoded::Frame(Frame::Data(buffer.split().freeze()))),
            Decoder::Chunked(_) => self.chunked(buffer),
        }
    }

    /// The transport has ended.
    pub(crate) fn close(&mut self) -> Result<Decoded, BodyError> {
        match self {
            Decoder::Done | Decoder::UntilClose => {
                *self = Decoder::Done;
                Ok(Decoded::End)
            }
            _ => Err(BodyError::Incomplete),
        }
    }

    fn chunked(&mut self, buffer: &mut BytesMut) -> Result<Decoded, BodyError> {
        loop {
            let Decoder::Chunked(state) = self else { return Ok(Decoded::End) };
            match state {
                Chunked::Size => match size_line(buffer)? {
                    None => return Ok(Decoded::More),
                    Some(0) => *state = Chunked::Trailers,
                    Some(size) => *state = Chunked::Data(size),
                },
                Chunked::Data(left) => {
                    let part = take(buffer, left);
                    if *left == 0 {
                        *state = Chunked::DataEnd;
                    }
                    return Ok(part.map_or(Decoded::More, |p| Decoded::Frame(Frame::Data(p))));
                }
                Chunked::DataEnd => {
                    if buffer.len() < 2 {
                        return Ok(Decoded::More);
                    }
                    if !buffer.starts_with(b"\r\n") {
                        return Err(BodyError::Malformed);
                    }
                    buffer.advance(2);
                    *state = Chunked::Size;
                }
                Chunked::Trailers => match trailers(buffer)? {
                    None => return Ok(Decoded::More),
                    Some(fields) => {
                        *self = Decoder::Done;
                        let frame = (!fields.is_empty()).then(|| Frame::Trailers(fields));
                        return Ok(frame.map_or(Decoded::End, Decoded::Frame));
                    }
                },
            }
        }
    }
}

fn take(buffer: &mut BytesMut, left: &mut u64) -> Option<Bytes> {
    let part = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    *left -= part as u64;
    (part > 0).then(|| buffer.split_to(part).freeze())
}

/// `1*16HEXDIG [ ext ] CRLF`. Extensions are checked for length and control bytes, then dropped.
fn size_line(buffer: &mut BytesMut) -> Result<Option<u64>, BodyError> {
    let window = &buffer[..buffer.len().min(SIZE_LINE_MAX + 2)];
    let Some(feed) = memchr::memchr(b'\n', window) else {
        return if window.len() > SIZE_LINE_MAX { Err(BodyError::Malformed) } else { Ok(None) };
    };
    let line = window[..feed].strip_suffix(b"\r").ok_or(BodyError::Malformed)?;
    let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    let extension = &line[digits..];
    let extension_ok = match extension {
        [] => true,
        [b';', rest @ ..] => rest.iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b < 0x7f)),
        _ => false,
    };
    if digits == 0 || digits > 16 || !extension_ok {
        return Err(BodyError::Malformed);
    }
    let size = line[..digits]
        .iter()
        .try_fold(0u64, |n, d| n.checked_mul(16)?.checked_add((*d as char).to_digit(16)?.into()));
    let size = size.filter(|n| *n <= i64::MAX as u64).ok_or(BodyError::Malformed)?;
    buffer.advance(feed + 1);
    Ok(Some(size))
}

/// The trailer section, forbidden names dropped (RFC 9110 section 6.5.1).
fn trailers(buffer: &mut BytesMut) -> Result<Option<Fields>, BodyError> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(Fields::default()));
    }
    let Some(end) = head::find_end(buffer, 0) else {
        return if buffer.len() > TRAILERS.bytes { Err(BodyError::Malformed) } else { Ok(None) };
    };
    let mut list = Fields::default();
    list.adopt(buffer.split_to(end).to_vec());
    let mut framing = Framing::default();
    head::fields(&mut list, &mut 0, TRAILERS, &mut framing).map_err(|_| BodyError::Malformed)?;
    list.retain(|id, name, _| allowed_in_trailers(id, name));
    Ok(Some(list))
}

/// Trailers carry figures and signatures, never framing, routing, credentials or payload fields.
pub(crate) fn allowed_in_trailers(id: pilotlight_filter::Name, name: &[u8]) -> bool {
    use pilotlight_filter::Name;
    !id.is_hop_by_hop()
        && !id.is_framing()
        && !id.is_protected()
        && !name.contains(&b'_')
        && !matches!(
            id,
            Name::Trailer
                | Name::SetCookie
                | Name::CacheControl
                | Name::Expect
                | Name::Range
                | Name::ProxyAuthenticate
                | Name::ProxyAuthorization
                | Name::Location
                | Name::RetryAfter
                | Name::Vary
                | Name::Date
        )
}

#[cfg(test)]
mod tests;
