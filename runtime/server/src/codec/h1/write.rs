//! Writing HTTP/1 messages: heads and framing into one small buffer, bodies as they are, all of it
//! in vectored writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use pilotlight_filter::{Fields, Name, RequestHead, ResponseHead};

use super::body::allowed_in_trailers;
use crate::codec::Length;
use crate::stream::Stream;

/// What is queued for a stream.
#[derive(Default)]
pub(crate) struct Writer {
    /// Heads and framing. Pieces are offsets into it until all of it is written.
    own: Vec<u8>,
    queue: VecDeque<Piece>,
    queued: usize,
    framing: Sent,
}

enum Piece {
    /// A range of `own`.
    Own(usize, usize),
    Shared(Bytes),
}

/// How the message under way is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sent {
    #[default]
    Plain,
    Chunked,
}

const SLICES: usize = 16;

impl Writer {
    /// A request's head. `close`: this connection ends with it.
    pub(crate) fn request(&mut self, head: &RequestHead, length: Length, upgrade: Option<&str>) {
        let from = self.own.len();
        let out = &mut self.own;
        out.extend_from_slice(head.method_text());
        out.push(b' ');
        out.extend_from_slice(head.path());
        if let Some(query) = head.query() {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(head.authority());
        out.extend_from_slice(b"\r\n");
        fields(out, &head.fields, false);
        if let Some(protocol) = upgrade {
            out.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
            out.extend_from_slice(protocol.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        // A request without a body needs no length, but for methods that usually have one.
        let bare = length == Length::None || length == Length::Exact(0) && head.method().is_safe();
        self.frame(if bare { Length::None } else { length }, true);
        self.own.extend_from_slice(b"\r\n");
        self.queue_own(from);
    }

    /// A response's head. `chunks`: the client understands chunked; `connection`: what to say of it.
    pub(crate) fn response(
        &mut self,
        head: &ResponseHead,
        length: Length,
        chunks: bool,
        connection: Option<&str>,
    ) {
        let from = self.own.len();
        self.own.extend_from_slice(b"HTTP/1.1 ");
        self.own.extend_from_slice(itoa::Buffer::new().format(head.status).as_bytes());
        self.own.push(b' ');
        let reason = head.reason.as_deref().unwrap_or_else(|| reason(head.status));
        self.own.extend_from_slice(reason.as_bytes());
        self.own.extend_from_slice(b"\r\n");
        fields(&mut self.own, &head.fields, length == Length::None);
        self.frame(length, chunks);
        if let Some(value) = connection {
            self.own.extend_from_slice(b"Connection: ");
            self.own.extend_from_slice(value.as_bytes());
            self.own.extend_from_slice(b"\r\n");
        }
        self.own.extend_from_slice(b"\r\n");
        self.queue_own(from);
    }

    /// A chunk of the body.
    pub(crate) fn data(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        match self.framing {
            Sent::Plain => self.queue_shared(chunk),
            Sent::Chunked => {
                let from = self.own.len();
                hex(&mut self.own, chunk.len());
                self.own.extend_from_slice(b"\r\n");
                self.queue_own(from);
                self.queue_shared(chunk);
                self.raw(b"\r\n");
            }
        }
    }

    /// The end of the body.
    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        if self.framing == Sent::Plain {
            return;
        }
        let from = self.own.len();
        self.own.extend_from_slice(b"0\r\n");
        for (id, name, value) in trailers.into_iter().flat_map(Fields::iter) {
            if allowed_in_trailers(id, name) {
                line(&mut self.own, name, value);
            }
        }
        self.own.extend_from_slice(b"\r\n");
        self.queue_own(from);
        self.framing = Sent::Plain;
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let from = self.own.len();
        self.own.extend_from_slice(bytes);
        self.queue_own(from);
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Writes until nothing waits.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<()>> {
        while self.queued > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slot, piece) in slices.iter_mut().zip(&self.queue) {
                *slot = IoSlice::new(match piece {
                    Piece::Own(from, to) => &self.own[*from..*to],
                    Piece::Shared(bytes) => bytes,
                });
                count += 1;
            }
            let written = ready!(stream.poll_write(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        stream.poll_flush(cx)
    }

    /// Memory that an idle connection need not hold.
    pub(crate) fn release(&mut self) -> Vec<u8> {
        if self.queue.capacity() > 8 {
            self.queue = VecDeque::new();
        }
        std::mem::take(&mut self.own)
    }

    /// Gives memory for the next messages.
    pub(crate) fn refill(&mut self, buffer: Vec<u8>) {
        if self.own.capacity() == 0 {
            self.own = buffer;
        }
    }

    /// Whether it holds no memory.
    pub(crate) fn is_released(&self) -> bool {
        self.own.capacity() == 0
    }

    fn frame(&mut self, length: Length, chunks: bool) {
        self.framing = Sent::Plain;
        match length {
            Length::None => {}
            Length::Exact(bytes) => {
                self.own.extend_from_slice(b"Content-Length: ");
                self.own.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
                self.own.extend_from_slice(b"\r\n");
            }
            Length::Unknown if chunks => {
                self.own.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                self.framing = Sent::Chunked;
            }
            // A 1.0 client: the end of the connection is the end of the body.
            Length::Unknown => {}
        }
    }

    fn queue_own(&mut self, from: usize) {
        let to = self.own.len();
        self.queued += to - from;
        if let Some(Piece::Own(_, end)) = self.queue.back_mut()
            && *end == from
        {
            *end = to;
            return;
        }
        self.queue.push_back(Piece::Own(from, to));
    }

    fn queue_shared(&mut self, chunk: Bytes) {
        self.queued += chunk.len();
        self.queue.push_back(Piece::Shared(chunk));
    }

    fn advance(&mut self, mut written: usize) {
        self.queued -= written;
        while written > 0 {
            let Some(piece) = self.queue.front_mut() else { break };
            let length = match piece {
                Piece::Own(from, to) => *to - *from,
                Piece::Shared(bytes) => bytes.len(),
            };
            if length > written {
                match piece {
                    Piece::Own(from, _) => *from += written,
                    Piece::Shared(bytes) => bytes.advance(written),
                }
                return;
            }
            written -= length;
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.own.clear();
        }
    }
}

/// Field lines; what ends at this hop stays here. `lengths`: a content-length is passed on.
fn fields(out: &mut Vec<u8>, list: &Fields, lengths: bool) {
    out.reserve(list.bytes() + 128);
    list.block(out, |id| match id {
        Name::Other => true,
        Name::ContentLength => lengths,
        Name::Host => false,
        id => !id.is_hop_by_hop(),
    });
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn hex(out: &mut Vec<u8>, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[number >> (place * 4) & 15]);
    }
}

/// The usual phrase of a status; empty for one without.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
