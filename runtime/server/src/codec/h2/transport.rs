//! Bytes between a connection and its stream: everything that waits leaves in one write.

use std::cell::RefCell;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::core::Core;
use super::frame::{self, Code};
use super::wire::WIRE_MAX;
use crate::stream::Stream;

/// A read's room; a read that fills it is followed by one with more.
const READ: usize = frame::HEADER + frame::PAYLOAD_MAX;
const READ_MAX: usize = 4 * READ;
/// Left over from a read, so little is copied out of its buffer.
const REST: usize = 1024;

/// A connection's stream. It holds a buffer only while there is something in it.
pub(crate) struct Transport {
    stream: Stream,
    input: BytesMut,
    room: usize,
    /// TLS may hold back what was written.
    unflushed: bool,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer closed it.
    Closed,
    /// The peer broke the protocol, or asked for too much.
    Fault(Code),
}

impl Transport {
    pub(crate) fn new(stream: Stream) -> Transport {
        Transport { stream, input: BytesMut::new(), room: READ, unflushed: false }
    }

    /// The stream, which nobody reads frames of any more.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Reads all there is, then writes what can be written.
    ///
    /// # Errors
    /// When the connection is over.
    pub(crate) fn exchange(
        &mut self,
        cx: &mut Context<'_>,
        core: &RefCell<Core>,
    ) -> Result<(), End> {
        let core = &mut *core.borrow_mut();
        core.unwatch();
        if let Some(guard) = core.guard() {
            guard.seen();
        }
        let read = self.read(cx, core);
        if self.input.is_empty() {
            self.input = BytesMut::new();
        } else if self.input.len() < REST {
            self.input = BytesMut::from(&self.input[..]);
        }
        read?;
        match self.write(cx, core) {
            Poll::Ready(Err(end)) => Err(end),
            Poll::Ready(Ok(())) | Poll::Pending => {
                core.watch(cx);
                Ok(())
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, core: &mut Core) -> Result<(), End> {
        // A peer that does not read what it asked for is not asked what else it wants.
        while core.wire.pending() < 2 * WIRE_MAX {
            if self.stream.poll_readable(cx).is_pending() {
                return Ok(());
            }
            self.input.reserve(self.room);
            let room = self.input.capacity() - self.input.len();
            match self.stream.poll_read(cx, &mut self.input) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Closed),
                Poll::Ready(Ok(read)) if read == room => self.room = READ_MAX,
                Poll::Ready(Ok(_)) => self.room = READ,
            }
            core.receive(&mut self.input).map_err(End::Fault)?;
        }
        Ok(())
    }

    /// Ready when nothing waits.
    pub(crate) fn write(&mut self, cx: &mut Context<'_>, core: &mut Core) -> Poll<Result<(), End>> {
        loop {
            core.schedule();
            if core.wire.pending() == 0 {
                break;
            }
            let stream = &mut self.stream;
            match ready!(core.wire.gather(|slices| stream.poll_write(cx, slices))) {
                Ok(0) | Err(_) => return Poll::Ready(Err(End::Closed)),
                Ok(written) => {
                    self.unflushed = true;
                    core.wire.advance(written);
                    if let Some(guard) = core.guard() {
                        guard.pay(written);
                    }
                }
            }
        }
        if self.unflushed {
            match ready!(self.stream.poll_flush(cx)) {
                Ok(()) => self.unflushed = false,
                Err(_) => return Poll::Ready(Err(End::Closed)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
