//! Field blocks as they come (RFC 9113 sections 4.3 and 8): requests, responses, trailers.

use bytes::Bytes;
use pilotlight_filter::Version;

use super::core::{Announced, Arrived, Core, Gone, Role, Stage};
use super::frame::{self, Code, Fault, Header};
use super::hpack::Decoder;
use super::receive::PROTOCOL;
use super::stream::{Failure, Head, wake};
use crate::codec::h1::head::BadHead;
use crate::codec::section::{Answer, Lines, Trailers};

/// A field block that HEADERS began and CONTINUATION goes on with.
pub(super) struct Block {
    stream: u32,
    ends: bool,
    own: bool,
    bytes: Vec<u8>,
    frames: usize,
}

/// CONTINUATION frames of a block, beside those that its size calls for.
const CONTINUATIONS: usize = 5;
/// Heads of a response that nobody has taken yet.
const HEADS_MAX: usize = 16;

impl Core {
    pub(super) fn headers(&mut self, header: Header, payload: &[u8]) -> Result<(), Fault> {
        let (fragment, own) = frame::fragment(header, payload)?;
        let (stream, ends) = (header.stream, header.has(frame::END_STREAM));
        if header.has(frame::END_HEADERS) {
            return self.section(stream, ends, own, fragment);
        }
        let bytes = fragment.to_vec();
        self.block = Some(Box::new(Block { stream, ends, own, bytes, frames: 0 }));
        Ok(())
    }

    pub(super) fn continuation(&mut self, header: Header, payload: &[u8]) -> Result<(), Fault> {
        let bytes_max = self.bounds.bytes + frame::PAYLOAD_MAX;
        let Some(mut block) = self.block.take() else { return Err(PROTOCOL) };
        if header.stream != block.stream {
            return Err(PROTOCOL);
        }
        block.frames += 1;
        block.bytes.extend_from_slice(payload);
        let frames_max = CONTINUATIONS + bytes_max / frame::PAYLOAD_MAX;
        if block.bytes.len() > bytes_max || block.frames > frames_max {
            return Err(Fault::Connection(Code::CALM));
        }
        if header.has(frame::END_HEADERS) {
            return self.section(block.stream, block.ends, block.own, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A whole field block. It is decoded whatever becomes of it: the next one depends on it.
    fn section(&mut self, id: u32, ends: bool, own: bool, block: &[u8]) -> Result<(), Fault> {
        let client = matches!(self.role, Role::Client(_));
        let misplaced = match self.streams.get(&id) {
            Some(stream) if stream.is_receiving() && !own => {
                return match client && !stream.inbound.answered {
                    true => self.answer(id, ends, block),
                    false => self.trailers(id, ends, block),
                };
            }
            Some(stream) if stream.inbound.ended => Err(Fault::Stream(id, Code::STREAM_CLOSED)),
            Some(stream) if stream.is_receiving() => Err(Fault::Stream(id, Code::PROTOCOL)),
            // It was reset: by us, and the peer may not have known; or not.
            Some(_) | None if client || self.ended(id) == Some(Gone::Reset) => {
                if self.is_unopened(id) { Err(PROTOCOL) } else { Ok(()) }
            }
            None if id > self.last && !id.is_multiple_of(2) => {
                if !own {
                    return self.request(id, ends, block);
                }
                self.last = id;
                Err(Fault::Stream(id, Code::PROTOCOL))
            }
            Some(_) | None => Err(Fault::Connection(match self.ended(id) {
                Some(_) => Code::STREAM_CLOSED,
                None => Code::PROTOCOL,
            })),
        };
        decode(&mut self.decoder, block, |_, _| Ok(()))?.ok();
        misplaced
    }

    /// Section 8.3.1: a request begins a stream.
    fn request(&mut self, id: u32, ends: bool, block: &[u8]) -> Result<(), Fault> {
        let refusing = self.stage == Stage::Refusing;
        let Role::Server(server) = &mut self.role else { return Err(PROTOCOL) };
        // Streams that are closed and still held are exchanges that end.
        if refusing || self.open >= server.streams || self.streams.len() >= 2 * server.streams {
            server.guard.refused();
            decode(&mut self.decoder, block, |_, _| Ok(()))?.ok();
            self.last = id;
            self.reset(id, Code::REFUSED, Failure::Dropped);
            return Ok(());
        }
        let mut exchange = (server.spare)();
        let head = std::mem::take(&mut exchange.request.head);
        let mut lines = Lines::new(Version::Http2, self.bounds, head);
        let secure = server.secure;
        let read = decode(&mut self.decoder, block, |name, value| lines.line(name, value))?;
        let head = match read.and_then(|()| lines.finish(ends, secure)) {
            Ok(head) => {
                exchange.request.head = head.head;
                Ok(Announced { length: head.length, expects: head.expects, ends })
            }
            Err(bad) => {
                exchange.request.head = lines.sketch();
                Err(bad)
            }
        };
        let owed = head.as_ref().ok().and_then(|announced| announced.length);
        server.arrived.push(Arrived { id, exchange, head });
        let stream = self.begin(id);
        (stream.inbound.ended, stream.inbound.owed) = (ends, owed);
        Ok(())
    }

    /// Section 8.3.2: a response, interim or final.
    fn answer(&mut self, id: u32, ends: bool, block: &[u8]) -> Result<(), Fault> {
        let Role::Client(client) = &mut self.role else { return Err(PROTOCOL) };
        let mut head = std::mem::take(&mut client.spare);
        head.fields.adopt((client.buffer)());
        let mut answer = Answer::new(Version::Http2, self.bounds, head);
        let mut read = decode(&mut self.decoder, block, |name, value| answer.line(name, value))?;
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let inbound = &mut stream.inbound;
        let interim = (100..200).contains(&answer.head.status);
        let odd = answer.head.status == 0
            || interim && (ends || answer.head.status == 101)
            || inbound.heads.len() >= HEADS_MAX;
        if odd && read.is_ok() {
            read = Err(BadHead { status: 400, detail: "malformed response" });
        }
        if let Err(bad) = read {
            let why = if bad.status == 431 { Failure::TooLarge } else { Failure::Malformed };
            self.reset(id, Code::PROTOCOL, why);
            return Ok(());
        }
        (inbound.answered, inbound.ended) = (!interim, ends);
        inbound.heads.push_back(Head { head: answer.head, length: answer.length });
        wake(&mut inbound.reader);
        self.settle(id);
        Ok(())
    }

    fn trailers(&mut self, id: u32, ends: bool, block: &[u8]) -> Result<(), Fault> {
        let mut trailers = Trailers::new(self.bounds);
        let read = decode(&mut self.decoder, block, |name, value| trailers.line(name, value))?;
        // Section 8.1: nothing follows them.
        if read.is_err() || !ends {
            return Err(Fault::Stream(id, Code::PROTOCOL));
        }
        if let Some(stream) = self.streams.get_mut(&id)
            && !trailers.list.is_empty()
        {
            stream.inbound.trailers = Some(trailers.list);
        }
        self.part(id, Bytes::new(), true)
    }
}

/// Gives a block's lines to `take` until it refuses one.
fn decode(
    decoder: &mut Decoder,
    block: &[u8],
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), BadHead>,
) -> Result<Result<(), BadHead>, Fault> {
    let mut taken = Ok(());
    let decoded = decoder.decode(block, |name, value| {
        if taken.is_ok() {
            taken = take(name, value);
        }
    });
    decoded.map_err(|_| Fault::Connection(Code::COMPRESSION))?;
    Ok(taken)
}
