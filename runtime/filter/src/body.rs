//! Bodies: a stream of reference-counted chunks that nobody collects unless asked to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use crate::fields::Fields;

/// A piece of a message after its head.
#[derive(Debug)]
pub enum Frame {
    /// Bytes of the body, never empty.
    Data(Bytes),
    /// The trailers; nothing follows.
    Trailers(Fields),
}

/// Why a body ended early. A message that fails so is never passed on as complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The peer closed before the end.
    #[error("the peer closed before the end of the body")]
    Incomplete,
    /// The framing is broken.
    #[error("the body's framing is malformed")]
    Malformed,
    /// Longer than the limit.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// Nothing came for too long.
    #[error("the body stalled")]
    Timeout,
    /// The peer reset the stream.
    #[error("the peer reset the stream")]
    Reset,
    /// A filter failed on it.
    #[error("a filter failed on the body")]
    Filter,
}

/// Where the frames of a body come from: a codec's stream, usually.
pub trait Source {
    /// The next frame; `None` at the end. Pulling is what grants the sender more room.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>>;
}

/// A body, under way or at rest.
#[derive(Default)]
pub struct Body {
    source: Option<Box<dyn Source>>,
    /// What was read ahead of whoever takes it, and the trailers: seldom there.
    held: Option<Box<Held>>,
    length: Option<u64>,
    /// Bytes that the message still owes by its own declaration (RFC 9110 section 8.6).
    owed: Option<u64>,
    received: u64,
    /// Some of it was taken by whoever passes it on.
    taken: bool,
    limit: Option<u64>,
    failed: Option<BodyError>,
}

/// What a body holds back.
#[derive(Default)]
struct Held {
    front: VecDeque<Bytes>,
    trailers: Option<Fields>,
    /// What scripts may look at after it has gone.
    kept: Option<Bytes>,
}

impl Body {
    /// No bytes, no trailers.
    pub fn empty() -> Body {
        Body { length: Some(0), ..Body::default() }
    }

    /// A body that is here already.
    pub fn full(bytes: Bytes) -> Body {
        let mut body = Body { length: Some(bytes.len() as u64), ..Body::default() };
        if !bytes.is_empty() {
            body.held().front.push_back(bytes);
        }
        body
    }

    /// A body that streams; `length` as declared by its message, if it was.
    pub fn stream(source: Box<dyn Source>, length: Option<u64>) -> Body {
        Body { source: Some(source), length, owed: length, ..Body::default() }
    }

    /// Fails the body when more than `bytes` come from its source.
    pub fn limit(&mut self, bytes: u64) {
        self.limit = Some(bytes);
    }

    /// Bytes that came from the source so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The exact number of bytes still to come, where it is known.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The length is not known any more: a filter is going to change the bytes.
    pub fn forget_length(&mut self) {
        if !self.is_done() {
            self.length = None;
        }
    }

    /// Whether there is nothing more: no bytes and no trailers.
    pub fn is_done(&self) -> bool {
        let held = |h: &Held| !h.front.is_empty() || h.trailers.is_some();
        self.source.is_none() && self.failed.is_none() && !self.held.as_deref().is_some_and(held)
    }

    /// Whether all of it is still to be taken, even if it was looked at.
    pub fn is_untouched(&self) -> bool {
        !self.taken
    }

    /// Whether nothing of it is still to come from its source.
    pub fn is_at_rest(&self) -> bool {
        self.source.is_none() && self.failed.is_none()
    }

    /// Puts bytes back in front of what is left: who took them hands them on, changed or not.
    pub fn restore(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.held().front.push_front(bytes);
        }
        self.taken = false;
        let front = |held: &Held| held.front.iter().map(Bytes::len).sum::<usize>() as u64;
        self.length = self.source.is_none().then(|| self.held.as_deref().map_or(0, front));
    }

    /// Puts bytes behind what a body at rest has.
    pub fn append(&mut self, bytes: Bytes) {
        self.length = self.length.map(|length| length + bytes.len() as u64);
        self.held().front.push_back(bytes);
    }

    /// Whether anything must still come from the peer.
    pub fn is_streaming(&self) -> bool {
        self.source.is_some()
    }

    /// Replaces what is left of the body; the old rest is dropped unread, trailers too.
    pub fn set(&mut self, bytes: Bytes) {
        *self = Body::full(bytes);
    }

    /// Sets the trailers that follow the last byte of a body that is at rest.
    pub fn set_trailers(&mut self, trailers: Fields) {
        self.held().trailers = Some(trailers);
    }

    /// Trailers that have come, behind those that a filter has written ahead of them: a name that the
    /// filter wrote is the filter's.
    fn add_trailers(&mut self, mut came: Fields) {
        let written = &mut self.held().trailers;
        if let Some(written) = written {
            came.retain(|_, name, _| written.get(name).is_none());
            came.iter().for_each(|(_, name, value)| written.push_checked(name, value));
        } else {
            *written = Some(came);
        }
    }

    /// The trailers, once they have come (or been set).
    pub fn trailers(&self) -> Option<&Fields> {
        self.held.as_ref()?.trailers.as_ref()
    }

    /// Takes the trailers out.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.held.as_mut()?.trailers.take()
    }

    /// The trailers, once they have come (or been set), to be changed.
    pub fn trailers_mut(&mut self) -> Option<&mut Fields> {
        self.held.as_mut()?.trailers.as_mut()
    }

    /// Makes empty trailers where there are none.
    pub fn begin_trailers(&mut self) {
        self.held().trailers.get_or_insert_default();
    }

    /// The next frame. Buffered bytes come first.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Some(chunk) = self.held.as_mut().and_then(|held| held.front.pop_front()) {
            self.spend(chunk.len());
            return Poll::Ready(Some(Ok(Frame::Data(chunk))));
        }
        if let Some(error) = self.failed {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(self.poll_source(cx)) {
            Ok(Some(chunk)) => {
                self.spend(chunk.len());
                return Poll::Ready(Some(Ok(Frame::Data(chunk))));
            }
            Ok(None) => {}
            Err(error) => return Poll::Ready(Some(Err(error))),
        }
        Poll::Ready(self.take_trailers().map(|t| Ok(Frame::Trailers(t))))
    }

    /// Pulls the whole body into memory, keeps it here to be passed on, and shows it.
    ///
    /// Ready with `None` when it is longer than `max` bytes: what was read stays and streams on.
    pub fn poll_collect(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, BodyError>> {
        let mut held: usize = self.held().front.iter().map(Bytes::len).sum();
        while held <= max {
            if let Some(error) = self.failed {
                return Poll::Ready(Err(error));
            }
            match ready!(self.poll_source(cx))? {
                Some(chunk) => {
                    held += chunk.len();
                    self.held().front.push_back(chunk);
                }
                None => return Poll::Ready(Ok(Some(self.join()))),
            }
        }
        Poll::Ready(Ok(None))
    }

    /// The body, where all of it is here in one piece, as after [`Body::poll_collect`].
    pub fn whole(&self) -> Option<&[u8]> {
        let front = self.held.as_ref().map(|held| &held.front);
        match front.map_or(0, VecDeque::len) {
            _ if self.source.is_some() => None,
            0 => Some(&[]),
            1 => front.and_then(VecDeque::front).map(|bytes| &**bytes),
            _ => None,
        }
    }

    /// Keeps what is here as one piece, for those who want to see it after it has gone.
    pub fn keep(&mut self) {
        if let Some(held) = &mut self.held
            && let Some(first) = held.front.front()
        {
            held.kept = Some(first.clone());
        }
    }

    /// What was kept.
    pub fn kept(&self) -> Option<&[u8]> {
        self.held.as_ref()?.kept.as_deref()
    }

    /// What is buffered, as one piece.
    fn join(&mut self) -> Bytes {
        let front = &mut self.held().front;
        if front.len() > 1 {
            let mut whole = BytesMut::with_capacity(front.iter().map(Bytes::len).sum());
            front.drain(..).for_each(|chunk| whole.extend_from_slice(&chunk));
            front.push_back(whole.freeze());
        }
        let whole = front.front().cloned().unwrap_or_default();
        self.length = Some(whole.len() as u64);
        whole
    }

    /// The next chunk of the source, counted; its trailers are put aside. `None` at the end.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        let Some(source) = &mut self.source else { return Poll::Ready(Ok(None)) };
        let outcome = match ready!(source.poll_frame(cx)) {
            Some(Ok(Frame::Data(chunk))) => self.count(chunk.len()).map(|()| Some(chunk)),
            Some(Err(error)) => Err(error),
            _ if self.owed.is_some_and(|owed| owed > 0) => Err(BodyError::Incomplete),
            Some(Ok(Frame::Trailers(trailers))) => {
                self.add_trailers(trailers);
                Ok(None)
            }
            None => Ok(None),
        };
        if !matches!(outcome, Ok(Some(_))) {
            self.source = None;
        }
        self.failed = outcome.as_ref().err().copied();
        Poll::Ready(outcome)
    }

    fn held(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }

    fn count(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.received += bytes as u64;
        if let Some(owed) = &mut self.owed {
            *owed = owed.checked_sub(bytes as u64).ok_or(BodyError::Malformed)?;
        }
        if self.limit.is_some_and(|limit| self.received > limit) {
            return Err(BodyError::TooLarge);
        }
        Ok(())
    }

    fn spend(&mut self, bytes: usize) {
        self.taken = true;
        if let Some(left) = &mut self.length {
            *left = left.saturating_sub(bytes as u64);
        }
    }
}

/// The near end of a body whose frames are made one by one as they are asked for.
///
/// Nobody is woken: who polls the body feeds it in the same turn, when it is pending.
pub(crate) struct Pipe(Rc<RefCell<Slot>>);

/// What lies between the ends of a pipe.
#[derive(Default)]
enum Slot {
    #[default]
    Idle,
    Wanted,
    Full(Option<Result<Frame, BodyError>>),
}

impl Pipe {
    /// A pipe, and the body that comes out of it.
    pub(crate) fn new(length: Option<u64>) -> (Pipe, Body) {
        let slot = Rc::<RefCell<Slot>>::default();
        let body = Body::stream(Box::new(Pipe(slot.clone())), length);
        (Pipe(slot), body)
    }

    /// Whether the other end waits for a frame.
    pub(crate) fn is_wanted(&self) -> bool {
        matches!(*self.0.borrow(), Slot::Wanted)
    }

    /// Puts a frame in, or the end.
    pub(crate) fn put(&self, frame: Option<Result<Frame, BodyError>>) {
        self.0.replace(Slot::Full(frame));
    }
}

impl Source for Pipe {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self.0.take() {
            Slot::Full(frame) => Poll::Ready(frame),
            Slot::Idle | Slot::Wanted => {
                self.0.replace(Slot::Wanted);
                Poll::Pending
            }
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("streaming", &self.source.is_some())
            .field("buffered", &self.held.as_ref().map_or(0, |held| held.front.len()))
            .field("length", &self.length)
            .finish()
    }
}
