//! What a connection sends: heads at once, bodies in turn as windows and the wire have room.

use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_filter::{Fields, ResponseHead};

use super::core::{Core, Gone, Role};
use super::frame::{self, Code, PAYLOAD_MAX};
use super::hpack;
use super::stream::{End, Failure, watch};
use crate::codec::Length;

impl Core {
    /// Sends a response's head.
    pub(crate) fn response(&mut self, id: u32, head: &ResponseHead, length: Length) {
        self.fields(id, |out| hpack::response(out, head.status, &head.fields, length));
    }

    /// Opens a stream with a request's field block; gives its id.
    pub(crate) fn open_with(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let id = if self.last == 0 { 1 } else { self.last + 2 };
        self.begin(id);
        self.fields(id, fill);
        id
    }

    fn fields(&mut self, id: u32, fill: impl FnOnce(&mut Vec<u8>)) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !stream.closed && stream.outbound.end == End::Open {
            stream.outbound.flags = Some(self.wire.block(id, 0, fill));
            self.wake();
        }
    }

    /// A chunk of the body.
    pub(crate) fn send(&mut self, id: u32, chunk: Bytes) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let out = &mut stream.outbound;
        if !stream.closed && out.end == End::Open && !chunk.is_empty() {
            out.queued += chunk.len();
            out.queue.push_back(chunk);
            self.list(id);
            self.wake();
        }
    }

    /// The end of the message.
    pub(crate) fn finish(&mut self, id: u32, trailers: Option<&Fields>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let out = &mut stream.outbound;
        if stream.closed || out.end != End::Open {
            return;
        }
        let mut block = Vec::new();
        if trailers.is_some_and(|list| hpack::trailers(&mut block, list)) {
            out.end = End::Trailers(block);
        } else if out.queued == 0
            && out.flags.is_some_and(|place| self.wire.flag(place, frame::END_STREAM))
        {
            // The head is all there is.
            out.end = End::Sent;
            return self.settle(id);
        } else {
            out.end = End::Plain;
        }
        self.list(id);
        self.wake();
    }

    /// Whether a message is all on the wire.
    pub(crate) fn is_sent(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.outbound.end == End::Sent)
    }

    /// Bytes that are not on the wire yet; an end counts as one.
    pub(crate) fn queued(&self, id: u32) -> usize {
        self.streams.get(&id).map_or(0, |stream| {
            let out = &stream.outbound;
            out.queued + usize::from(matches!(out.end, End::Plain | End::Trailers(_)))
        })
    }

    /// Ready once all that was sent is on the wire.
    pub(crate) fn poll_sent(&mut self, id: u32, cx: &Context<'_>) -> Poll<Result<(), Failure>> {
        self.schedule();
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(Failure::Lost));
        };
        match stream.failure {
            _ if stream.outbound.end == End::Sent => Poll::Ready(Ok(())),
            Some(why) => Poll::Ready(Err(why)),
            None if !stream.outbound.is_due() => Poll::Ready(Ok(())),
            None => {
                watch(&mut stream.outbound.writer, cx);
                Poll::Pending
            }
        }
    }

    /// Ready once the stream has ended before its time.
    pub(crate) fn poll_failed(&mut self, id: u32, cx: &Context<'_>) -> Poll<Failure> {
        match self.streams.get_mut(&id) {
            None => Poll::Ready(Failure::Lost),
            Some(stream) => match stream.failure {
                Some(why) => Poll::Ready(why),
                None => {
                    watch(&mut stream.outbound.writer, cx);
                    Poll::Pending
                }
            },
        }
    }

    /// Lists a stream among those that have something to send and room for it.
    pub(super) fn list(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let out = &mut stream.outbound;
        if !out.listed && out.is_due() && (out.window > 0 || out.queued == 0) {
            out.listed = true;
            self.ready.push_back(id);
        }
    }

    /// Puts a frame of each listed stream on the wire, again and again while there is room.
    pub(crate) fn schedule(&mut self) {
        let mut stuck = 0;
        while self.wire.has_room() && stuck < self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let out = &mut stream.outbound;
            out.listed = false;
            if stream.failure.is_some() {
                continue;
            }
            if out.queued > 0 {
                if self.room <= 0 {
                    // Its turn comes when the connection's window opens.
                    out.listed = true;
                    self.ready.push_back(id);
                    stuck += 1;
                    continue;
                }
                let most = out.window.min(self.room).min(PAYLOAD_MAX as i64);
                let Some(length) = usize::try_from(most).ok().filter(|room| *room > 0) else {
                    continue;
                };
                let length = length.min(out.queued);
                out.queued -= length;
                out.window -= length as i64;
                self.room -= length as i64;
                let ends = out.queued == 0 && out.end == End::Plain;
                let flags = if ends { frame::END_STREAM } else { 0 };
                self.wire.put(|wire| frame::put_header(wire, length, frame::DATA, flags, id));
                let mut left = length;
                while left > 0
                    && let Some(chunk) = out.queue.front_mut()
                {
                    let part = chunk.split_to(left.min(chunk.len()));
                    left -= part.len();
                    if chunk.is_empty() {
                        out.queue.pop_front();
                    }
                    self.wire.slice(part);
                }
                if ends {
                    out.end = End::Sent;
                }
            } else {
                match std::mem::replace(&mut out.end, End::Sent) {
                    End::Plain => self.wire.put(|wire| {
                        frame::put_header(wire, 0, frame::DATA, frame::END_STREAM, id);
                    }),
                    End::Trailers(block) => {
                        let fill = |wire: &mut Vec<u8>| wire.extend_from_slice(&block);
                        self.wire.block(id, frame::END_STREAM, fill);
                    }
                    other => out.end = other,
                }
            }
            stuck = 0;
            if out.is_due() {
                self.list(id);
                continue;
            }
            super::stream::wake(&mut out.writer);
            if out.end == End::Sent {
                self.settle(id);
            }
        }
    }

    /// A stream that both sides ended is closed (RFC 9113 section 5.1).
    pub(super) fn settle(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.closed || stream.outbound.end != End::Sent {
            return;
        }
        if stream.inbound.ended {
            self.close(id, Gone::Ended);
        } else if stream.inbound.unwanted && matches!(self.role, Role::Server(_)) {
            // Section 8.1: the answer did not need the rest of the request.
            self.reset(id, Code::NO_ERROR, Failure::Dropped);
        }
    }

    /// Nobody takes what comes any more.
    pub(super) fn unwant(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.inbound.unwanted = true;
        let receiving = stream.is_receiving();
        self.drop_unread(id);
        if matches!(self.role, Role::Client(_)) && receiving {
            self.reset(id, Code::CANCEL, Failure::Dropped);
        }
        self.settle(id);
    }

    /// Nobody sends any more: what is not whole by now is broken.
    pub(super) fn unwrite(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(|stream| stream.outbound.end != End::Sent) {
            let code = match self.role {
                Role::Server(_) => Code::INTERNAL,
                Role::Client(_) => Code::CANCEL,
            };
            self.reset(id, code, Failure::Dropped);
        }
    }
}
