//! Doors for the fuzz targets (`fuzz/`) to parsers that are private otherwise. Bytes in, what was
//! understood out; nothing here runs in a gateway.

use bytes::BytesMut;
use pilotlight_filter::{Frame, RequestHead, ResponseHead};

use crate::codec::h1::body::{Decoded, Decoder};
use crate::codec::h1::head::{self, Bounds, Framing};

const BOUNDS: Bounds = Bounds { bytes: 32 * 1024, fields: 100, uri: 8 * 1024 };

/// A head and how its body is framed.
pub struct Understood<H> {
    /// The head.
    pub head: H,
    /// Bytes of the head.
    pub size: usize,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// `Transfer-Encoding: chunked`.
    pub chunked: bool,
}

/// The request head that `bytes` begin with; `None` when it is not whole, a status when refused.
pub fn request(bytes: &[u8]) -> Option<Result<Understood<RequestHead>, u16>> {
    let size = head::find_end(bytes, 0)?;
    let mut request = RequestHead::default();
    request.fields.adopt(bytes[..size].to_vec());
    Some(match head::request(&mut request, BOUNDS) {
        Ok(framing) => Ok(understood(request, size, &framing)),
        Err(bad) => Err(bad.status),
    })
}

/// The response head that `bytes` begin with; see [`request`].
pub fn response(bytes: &[u8]) -> Option<Result<Understood<ResponseHead>, u16>> {
    let size = head::find_end(bytes, 0)?;
    let mut response = ResponseHead::default();
    response.fields.adopt(bytes[..size].to_vec());
    Some(match head::response(&mut response, BOUNDS) {
        Ok(framing) => Ok(understood(response, size, &framing)),
        Err(bad) => Err(bad.status),
    })
}

fn understood<H>(head: H, size: usize, framing: &Framing) -> Understood<H> {
    Understood { head, size, length: framing.length, chunked: framing.chunked }
}

/// What became of a chunked body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// Its bytes so far.
    pub body: Vec<u8>,
    /// Names and values of its trailers.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether it ended.
    pub ended: bool,
    /// Whether it was refused.
    pub refused: bool,
    /// Bytes left behind it, once it ended.
    pub rest: usize,
}

/// A chunked body that arrives in `pieces`.
pub fn chunks<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Chunks {
    let mut framing = Framing::default();
    framing.chunked = true;
    let (mut decoder, mut out) = (Decoder::new(&framing, false), Chunks::default());
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !(out.ended || out.refused) {
            match decoder.decode(&mut buffer) {
                Ok(Decoded::Frame(Frame::Data(data))) => out.body.extend_from_slice(&data),
                Ok(Decoded::Frame(Frame::Trailers(fields))) => {
                    let pairs =
                        fields.iter().map(|(_, name, value)| (name.to_vec(), value.to_vec()));
                    out.trailers.extend(pairs);
                }
                Ok(Decoded::End) => out.ended = true,
                Ok(Decoded::More) => break,
                Err(_) => out.refused = true,
            }
        }
    }
    out.rest = if out.ended { buffer.len() } else { 0 };
    out
}
