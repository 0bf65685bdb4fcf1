//! One stream's state, both ways.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::{Bytes, BytesMut};
use pilotlight_filter::{BodyError, Fields, ResponseHead};

use super::frame::{Code, WINDOW_MAX};

/// Why a stream ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The peer reset it.
    Reset(Code),
    /// We did.
    Dropped,
    /// We did, because the peer broke the protocol.
    Malformed,
    /// The peer is too large with its words.
    TooLarge,
    /// The connection is gone.
    Lost,
    /// The peer said that it did not look at it (GOAWAY).
    NotTaken,
}

impl Failure {
    pub(super) fn of_body(self) -> BodyError {
        match self {
            Failure::Reset(_) => BodyError::Reset,
            Failure::Lost | Failure::NotTaken => BodyError::Incomplete,
            Failure::Dropped | Failure::Malformed | Failure::TooLarge => BodyError::Malformed,
        }
    }
}

/// A stream.
#[derive(Default)]
pub(super) struct Stream {
    /// Who holds it beside the connection.
    pub(super) holders: u8,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) failure: Option<Failure>,
    /// It does not count as open any more.
    pub(super) closed: bool,
}

impl Stream {
    /// Whether the peer may still send on it.
    pub(super) fn is_receiving(&self) -> bool {
        !self.inbound.ended && self.failure.is_none()
    }

    pub(super) fn wake(&mut self) {
        wake(&mut self.inbound.reader);
        wake(&mut self.outbound.writer);
    }
}

/// What comes.
#[derive(Default)]
pub(super) struct Inbound {
    /// Heads of a response, the last of which is no interim one.
    pub(super) heads: VecDeque<Head>,
    /// The final head has come (the client's side of a connection).
    pub(super) answered: bool,
    chunks: VecDeque<Bytes>,
    /// Small chunks grow together here: many of them must not cost more than their bytes.
    tail: BytesMut,
    pub(super) trailers: Option<Fields>,
    pub(super) ended: bool,
    /// Nobody wants the rest.
    pub(super) unwanted: bool,
    pub(super) window: Window,
    /// What the body still owes by its `content-length`, where that is ours to check.
    pub(super) owed: Option<u64>,
    pub(super) reader: Option<Waker>,
}

/// A response's head as it came.
pub(super) struct Head {
    pub(super) head: ResponseHead,
    pub(super) length: Option<u64>,
}

/// Chunks up to this size are copied together.
const SMALL: usize = 1024;

impl Inbound {
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() <= SMALL && !(self.chunks.is_empty() && self.tail.is_empty()) {
            return self.tail.extend_from_slice(&bytes);
        }
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
        self.chunks.push_back(bytes);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        match self.chunks.pop_front() {
            None if !self.tail.is_empty() => Some(self.tail.split().freeze()),
            chunk => chunk,
        }
    }

    /// Whether nothing is left, and nothing will come.
    pub(super) fn is_read(&self) -> bool {
        let empty = self.chunks.is_empty() && self.tail.is_empty();
        self.ended && empty && self.trailers.is_none()
    }

    /// Drops what nobody has taken; gives its size.
    pub(super) fn discard(&mut self) -> usize {
        let bytes = self.chunks.iter().map(Bytes::len).sum::<usize>() + self.tail.len();
        (self.chunks, self.tail) = (VecDeque::new(), BytesMut::new());
        bytes
    }
}

/// What goes.
#[derive(Default)]
pub(super) struct Outbound {
    pub(super) queue: VecDeque<Bytes>,
    /// Bytes of `queue`.
    pub(super) queued: usize,
    pub(super) end: End,
    /// Room that the peer grants; its settings may take it below nothing.
    pub(super) window: i64,
    /// It stands among those that have something to send.
    pub(super) listed: bool,
    /// The place of the flags of its HEADERS.
    pub(super) flags: Option<u64>,
    pub(super) writer: Option<Waker>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    Open,
    /// To be said with the last DATA.
    Plain,
    /// A field block to be sent behind it.
    Trailers(Vec<u8>),
    Sent,
}

impl Outbound {
    /// Whether something waits to be sent.
    pub(super) fn is_due(&self) -> bool {
        self.queued > 0 || matches!(self.end, End::Plain | End::Trailers(_))
    }
}

/// A window for what the peer sends: given back in large steps.
#[derive(Debug, Default)]
pub(super) struct Window {
    left: i64,
    most: i64,
    taken: i64,
}

impl Window {
    pub(super) fn new(most: u32) -> Window {
        Window { left: i64::from(most), most: i64::from(most), taken: 0 }
    }

    /// The peer used some. False: more than there was.
    pub(super) fn fill(&mut self, bytes: usize) -> bool {
        self.left -= bytes as i64;
        self.left >= 0
    }

    /// Somebody took bytes out: what the peer is to be told, if it is worth a frame.
    pub(super) fn free(&mut self, bytes: usize) -> Option<u32> {
        self.taken += bytes as i64;
        if self.taken < self.most / 2 {
            return None;
        }
        self.left += self.taken;
        u32::try_from(std::mem::take(&mut self.taken)).ok()
    }
}

/// Widens a window for what we send. False: past what a window may be.
pub(super) fn widen(window: &mut i64, more: i64) -> bool {
    *window += more;
    *window <= WINDOW_MAX
}

/// Leaves the caller's waker where it is woken from.
pub(super) fn watch(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

pub(super) fn wake(place: &mut Option<Waker>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}
