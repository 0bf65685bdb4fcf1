//! Doors for the fuzz targets (`fuzz/`) to parsers that are private otherwise. Bytes in, what was
//! understood out; nothing here runs in a gateway.

use std::net::IpAddr;
use std::rc::Rc;

use bytes::BytesMut;
use pilotlight_filter::{Exchange, Frame, Peer, RequestHead, ResponseHead, exchange};

use crate::clock::Clock;
use crate::codec::h1::body::{Decoded, Decoder};
use crate::codec::h1::head::{self, Bounds, Framing};
use crate::codec::h2::{Code, Core, Server};
use crate::services::resolver::message::{self, Heard, Kind};

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

/// What became of an HTTP/2 connection's bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Streams with their targets and fields, or the status of a refusal.
    pub requests: Vec<(u32, Result<Request, u16>)>,
    /// The code of the connection's end.
    pub ended: Option<u32>,
}

/// A request's method, target, and names and values.
pub type Request = (Vec<u8>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

/// What a client sends on a connection that arrives in `pieces`. `None`: it sends too much of nothing,
/// which is a matter of time.
pub fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Frames> {
    let peer = Rc::new(Peer::new(IpAddr::from([127, 0, 0, 1]), 1, "fuzz"));
    let spare = move || Box::new(Exchange::new(0, peer.clone(), exchange::Request::default()));
    let server = Server::new(10, false, Clock::new(), Box::new(spare));
    let mut core = Core::server(server, BOUNDS, (65_536, 1 << 20));
    let (mut input, mut out) = (BytesMut::new(), Frames::default());
    for piece in pieces {
        input.extend_from_slice(piece);
        let received = core.receive(&mut input);
        for arrived in core.arrived() {
            let head = &arrived.exchange.request.head;
            let pairs = head.fields.iter().map(|(_, n, v)| (n.to_vec(), v.to_vec())).collect();
            let request = (head.method_text().to_vec(), head.path().to_vec(), pairs);
            let read = arrived.head.map(|_| request).map_err(|bad| bad.status);
            out.requests.push((arrived.id, read));
        }
        match received {
            Ok(()) => {}
            Err(Code::CALM) => return None,
            Err(Code(code)) => {
                out.ended = Some(code);
                break;
            }
        }
    }
    Some(out)
}

/// What a name server's message tells of the IPv4 addresses of `name`; a sentence when it refuses, `None`
/// when it is no answer. The message's own number is taken for the question's.
pub fn addresses(message: &[u8], name: &str) -> Option<Result<Vec<IpAddr>, String>> {
    let id = message.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    match message::hear(message, id, name, Kind::V4) {
        Heard::Addresses(addresses, _) => Some(Ok(addresses)),
        Heard::Refused(why) => Some(Err(why.to_string())),
        Heard::Servers(..) | Heard::Truncated | Heard::Other => None,
    }
}
