//! Counts frames that cost us work and the peer nothing: floods of PING, SETTINGS, PRIORITY, empty
//! DATA and unknown frames (CVE-2019-9512 and its kin). The h2 crate answers them without limit.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock::Clock;
use crate::stream::Stream;

/// A connection's score of such frames. It leaks away with time and with bytes that we send.
pub(super) struct Guard {
    clock: Clock,
    score: Cell<u32>,
    leaked: Cell<u64>,
}

/// Past this, the connection is told to end.
const CALM: u32 = 150;
/// Past this, it is cut.
const CUT: u32 = 200;
/// Points that leak away in a second.
const LEAK: u64 = 50;
/// Bytes sent that pay for a point: peers ping and widen windows while they download.
const PAID: usize = 1024;

/// What a frame costs, by its type (RFC 9113 section 6) and whether it is empty.
const fn weight(kind: u8, length: u32, flags: u8) -> u32 {
    match kind {
        // DATA: an empty one that does not end the stream says nothing.
        0x0 if length == 0 && flags & 1 == 0 => 1,
        // HEADERS, RST_STREAM, WINDOW_UPDATE, CONTINUATION have limits of their own.
        0x0 | 0x1 | 0x3 | 0x8 | 0x9 => 0,
        // SETTINGS: each is answered, and may touch every stream.
        0x4 => 4,
        _ => 1,
    }
}

impl Guard {
    pub(super) fn new(clock: Clock) -> Guard {
        Guard { clock, score: Cell::new(0), leaked: Cell::new(0) }
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.score.get() > CALM
    }

    fn add(&self, points: u32) {
        if points > 0 {
            let tick = self.clock.millis() * LEAK / 1000;
            let leak = tick.saturating_sub(self.leaked.replace(tick));
            let left = self.score.get().saturating_sub(u32::try_from(leak).unwrap_or(u32::MAX));
            self.score.set(left.saturating_add(points));
        }
    }

    fn pay(&self, bytes: usize) {
        if self.score.get() > 0 {
            let paid = u32::try_from(bytes / PAID).unwrap_or(u32::MAX);
            self.score.set(self.score.get().saturating_sub(paid));
        }
    }
}

/// A connection's stream, its frames counted on the way in.
pub(super) struct Guarded {
    stream: Stream,
    ahead: Bytes,
    guard: Rc<Guard>,
    /// Bytes to skip before the next frame header; the preface first.
    skip: usize,
    header: [u8; 9],
    have: usize,
}

/// RFC 9113 section 3.4.
const PREFACE: usize = 24;

impl Guarded {
    pub(super) fn new(stream: Stream, ahead: Bytes, guard: Rc<Guard>) -> Guarded {
        Guarded { stream, ahead, guard, skip: PREFACE, header: [0; 9], have: 0 }
    }

    fn count(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let part = (9 - self.have).min(bytes.len());
            self.header[self.have..self.have + part].copy_from_slice(&bytes[..part]);
            self.have += part;
            bytes = &bytes[part..];
            if self.have == 9 {
                let [a, b, c, kind, flags, ..] = self.header;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.guard.add(weight(kind, length, flags));
                (self.have, self.skip) = (0, length as usize);
            }
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.guard.score.get() > CUT {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        if this.ahead.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        } else {
            let part = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..part]);
            this.ahead.advance(part);
        }
        this.count(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(this.stream.poll_write(cx, slices))?;
        this.guard.pay(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
