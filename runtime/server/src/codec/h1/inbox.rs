//! What was read of a message's head, and whatever came behind it.

use std::io;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use pilotlight_filter::Fields;

use super::head::{self, BadHead};
use crate::stream::Stream;
use crate::worker::Buffers;

/// Bytes of heads, in a buffer that is held only while there are any.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// How far they were searched for the end of a head.
    searched: usize,
}

impl Inbox {
    /// Where the first head ends, once all of it is here.
    ///
    /// # Errors
    /// What has come can't become a head any more.
    pub(crate) fn find_head(&mut self) -> Result<Option<usize>, BadHead> {
        if let Some(end) = head::find_end(&self.bytes, self.searched) {
            return Ok(Some(end));
        }
        if let Some(bad) = hopeless(&self.bytes, self.searched) {
            return Err(bad);
        }
        self.searched = self.bytes.len();
        Ok(None)
    }

    /// One empty line before a request is forgiven (RFC 9112 section 2.2).
    pub(crate) fn skip_empty_line(&mut self) {
        if self.searched == 0 && self.bytes.starts_with(b"\r\n") {
            self.bytes.drain(..2);
        }
    }

    /// Makes the head that ends at `end` the arena of `fields`; what follows stays here.
    pub(crate) fn hand_over(&mut self, fields: &mut Fields, end: usize) {
        let mut rest = fields.adopt(Vec::new());
        rest.clear();
        rest.extend_from_slice(&self.bytes[end..]);
        std::mem::swap(&mut self.bytes, &mut rest);
        rest.truncate(end);
        fields.adopt(rest);
        self.searched = 0;
    }

    /// Reads once. `Ok(0)`: the end.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.take();
        }
        if self.bytes.len() == self.bytes.capacity() {
            self.bytes.reserve(self.bytes.len());
        }
        stream.poll_read(cx, &mut self.bytes)
    }

    /// What follows a head is of its body.
    pub(crate) fn move_to(&mut self, body: &mut BytesMut) {
        body.extend_from_slice(&self.bytes);
        self.bytes.clear();
    }

    /// What follows a body is of the next head.
    pub(crate) fn move_from(&mut self, body: &mut BytesMut) {
        self.bytes.extend_from_slice(body);
        body.clear();
    }

    /// Everything, for someone who speaks another protocol.
    pub(crate) fn take(&mut self) -> Bytes {
        self.searched = 0;
        Bytes::from(std::mem::take(&mut self.bytes))
    }

    /// Gives the memory back.
    pub(crate) fn release(&mut self, buffers: &Buffers) {
        self.searched = 0;
        buffers.put(std::mem::take(&mut self.bytes));
    }

    /// All that is here.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A head that contains a bare line feed will be refused: no need to wait for its end.
pub(crate) fn hopeless(bytes: &[u8], from: usize) -> Option<BadHead> {
    memchr::memchr_iter(b'\n', &bytes[from..])
        .map(|at| at + from)
        .any(|at| at == 0 || bytes[at - 1] != b'\r')
        .then_some(BadHead { status: 400, detail: "bare line feed" })
}
