//! Codecs: bytes on one side, exchanges on the other. Past this folder nothing asks which HTTP
//! version it is.
//!
//! A codec reads a request into an [`Exchange`](pilotlight_filter::Exchange), hands it to
//! [`drive`](crate::drive) with itself as the [`Downstream`], and writes what comes back.

pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod h3;
pub(crate) mod linger;
mod packing;
pub(crate) mod section;
pub(crate) mod streams;

use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_filter::{Fields, ResponseHead};

use crate::stream::Stream;

/// Queued bytes past which a writer wants to be flushed before it takes more.
pub(crate) const HIGH_WATER: usize = 64 * 1024;

/// How long a body is going to be, which decides how it is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is none, whatever the fields say (HEAD, 204, 304).
    None,
    /// So many bytes.
    Exact(u64),
    /// Until it ends.
    Unknown,
}

/// The other side went away, or took too long to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The client's side of an exchange: takes the response.
///
/// Everything but the polls only queues; `poll_flush` writes.
pub(crate) trait Downstream {
    /// An interim (1xx) response.
    fn interim(&mut self, head: &ResponseHead);

    /// The final head. `head` holds no framing fields but a `content-length` that is kept when
    /// `length` is `None`; the codec frames by `length`.
    fn head(&mut self, head: &ResponseHead, length: Length);

    /// A chunk of the body.
    fn data(&mut self, chunk: Bytes);

    /// The end of the message.
    fn finish(&mut self, trailers: Option<&Fields>);

    /// Breaks the message off so that its receiver sees that it is not whole, behind what is queued.
    fn abort(&mut self);

    /// Bytes that wait to be written.
    fn queued(&self) -> usize;

    /// Writes all that is queued.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>>;

    /// Ready when the client has left: what it asked for may stop.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// The request asked for a tunnel (an HTTP/1 upgrade) and got it: the raw connection, and
    /// bytes that were read past the request. `None` when the protocol has no such thing.
    fn tunnel(&mut self) -> Option<(Stream, Bytes)>;
}
