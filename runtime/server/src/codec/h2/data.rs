//! Bodies as they come (RFC 9113 sections 5.2 and 6.1), and windows for them.

use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_filter::{BodyError, Frame, ResponseHead};

use super::core::{Core, Gone, Role};
use super::frame::{self, Code, Fault, Header};
use super::receive::PROTOCOL;
use super::stream::{Failure, wake, watch};

impl Core {
    /// A DATA frame begins: `padding` of it is not for anyone.
    pub(super) fn data(&mut self, header: Header, padding: usize) -> Result<(), Fault> {
        self.admit(header)?;
        let id = header.stream;
        if id == 0 || !self.streams.contains_key(&id) && self.is_unopened(id) {
            return Err(PROTOCOL);
        }
        if !self.window.fill(header.length) {
            return Err(Fault::Connection(Code::FLOW_CONTROL));
        }
        self.free(padding);
        let closed = Err(Fault::Stream(id, Code::STREAM_CLOSED));
        let Some(stream) = self.streams.get_mut(&id) else {
            let late = self.ended(id) == Some(Gone::Reset);
            return if late { Ok(()) } else { closed };
        };
        if !stream.is_receiving() {
            let late = self.ended(id) == Some(Gone::Reset);
            return if late { Ok(()) } else { closed };
        }
        if matches!(self.role, Role::Client(_)) && !stream.inbound.answered {
            return Err(Fault::Stream(id, Code::PROTOCOL));
        }
        if !stream.inbound.window.fill(header.length) {
            return Err(Fault::Stream(id, Code::FLOW_CONTROL));
        }
        if let Some(more) = stream.inbound.window.free(padding) {
            self.wire.put(|out| frame::put_word(out, frame::WINDOW_UPDATE, id, more));
        }
        Ok(())
    }

    /// Some of a body, perhaps its end.
    pub(super) fn part(&mut self, id: u32, bytes: Bytes, ends: bool) -> Result<(), Fault> {
        let length = bytes.len();
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.is_receiving()) else {
            self.free(length);
            return Ok(());
        };
        let inbound = &mut stream.inbound;
        if let Some(owed) = &mut inbound.owed {
            let left = owed.checked_sub(length as u64);
            // Section 8.1.1: a body is as long as its head says.
            let Some(left) = left.filter(|left| !ends || *left == 0) else {
                self.free(length);
                return Err(Fault::Stream(id, Code::PROTOCOL));
            };
            *owed = left;
        }
        inbound.ended = ends;
        let unwanted = inbound.unwanted;
        if !unwanted && length > 0 {
            inbound.push(bytes);
        }
        if length > 0 || ends {
            wake(&mut inbound.reader);
        }
        if unwanted {
            self.free(length);
        }
        if ends {
            self.settle(id);
        }
        Ok(())
    }

    /// Gives the peer room for what was taken.
    pub(super) fn free(&mut self, bytes: usize) {
        if bytes > 0
            && let Some(more) = self.window.free(bytes)
        {
            self.wire.put(|out| frame::put_word(out, frame::WINDOW_UPDATE, 0, more));
            self.wake();
        }
    }

    /// The next frame of a stream's body. Pulling is what grants more room.
    pub(crate) fn poll_frame(
        &mut self,
        id: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, BodyError>>> {
        let lost = Poll::Ready(Some(Err(BodyError::Incomplete)));
        let Some(stream) = self.streams.get_mut(&id) else { return lost };
        if let Some(chunk) = stream.inbound.pop() {
            let more = stream.inbound.window.free(chunk.len());
            if let Some(more) = more.filter(|_| stream.is_receiving()) {
                self.wire.put(|out| frame::put_word(out, frame::WINDOW_UPDATE, id, more));
                self.wake();
            }
            self.free(chunk.len());
            return Poll::Ready(Some(Ok(Frame::Data(chunk))));
        }
        if stream.inbound.ended {
            return Poll::Ready(stream.inbound.trailers.take().map(|t| Ok(Frame::Trailers(t))));
        }
        if let Some(why) = stream.failure {
            return Poll::Ready(Some(Err(why.of_body())));
        }
        watch(&mut stream.inbound.reader, cx);
        Poll::Pending
    }

    /// Whether all that came of a stream was taken.
    pub(crate) fn is_read(&self, id: u32) -> bool {
        self.streams.get(&id).is_none_or(|stream| stream.inbound.is_read())
    }

    /// The next head of a stream's response, put into `head`; gives its `content-length`.
    pub(crate) fn poll_head(
        &mut self,
        id: u32,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Option<u64>, Failure>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(Failure::Lost));
        };
        match (stream.inbound.heads.pop_front(), stream.failure) {
            (Some(came), _) => {
                let old = std::mem::replace(head, came.head);
                if let Role::Client(client) = &mut self.role {
                    client.spare = old;
                }
                Poll::Ready(Ok(came.length))
            }
            (None, Some(why)) => Poll::Ready(Err(why)),
            (None, None) => {
                watch(&mut stream.inbound.reader, cx);
                Poll::Pending
            }
        }
    }
}
