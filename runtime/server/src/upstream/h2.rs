//! HTTP/2 to an upstream: one connection of a worker carries many exchanges.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pilotlight_filter::{Body, Fields, RequestHead, ResponseHead, exchange};

use super::{Incoming, UpstreamError};
use crate::codec::Length;
use crate::codec::h1::head::Bounds;
use crate::codec::h2::{Code, Core, End, Failure, Half, Link, ResponseBody, Transport, request};
use crate::stream::Stream;
use crate::tls;
use crate::worker::Worker;

/// Room for a stream's body that we have not passed on yet, and for all of a connection.
const WINDOWS: (u32, u32) = (256 * 1024, 4 << 20);
/// Heads of responses: what nginx and Envoy accept by default, and a little more.
const BOUNDS: Bounds = Bounds { bytes: 64 * 1024, fields: 200, uri: 0 };

/// A connection, as the pool has it. It closes when the pool let go and the last exchange is over.
pub(crate) struct Connection {
    state: Rc<State>,
}

struct State {
    core: Rc<RefCell<Core>>,
    /// Taken here, since its task has the stream from then on.
    link: Rc<exchange::Link>,
    secure: bool,
    pooled: Cell<bool>,
    opened: Cell<u64>,
}

impl Connection {
    /// Begins HTTP/2; our preface leaves with the first request.
    pub(crate) fn new(worker: &Rc<Worker>, stream: Stream) -> Connection {
        let link = tls::link(&stream);
        let secure = link.tls.is_some();
        let worker = worker.clone();
        let core = Core::client(Box::new(move || worker.buffers.take()), BOUNDS, WINDOWS);
        let core = Rc::new(RefCell::new(core));
        let (pooled, opened) = (Cell::new(true), Cell::new(0));
        let state = Rc::new(State { core, link, secure, pooled, opened });
        tokio::task::spawn_local(state.clone().run(stream));
        Connection { state }
    }

    /// Whether it is open and has room for one more exchange.
    pub(crate) fn is_usable(&self) -> bool {
        self.state.core.borrow().has_place()
    }

    /// A way for one exchange.
    pub(crate) fn open(&self) -> Outbound {
        let state = self.state.clone();
        state.opened.set(state.opened.get() + 1);
        let fresh = state.opened.get() == 1;
        Outbound { state, fresh, place: Place::Over, queued: 0 }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.pooled.set(false);
        self.state.core.borrow_mut().wake();
    }
}

impl State {
    /// Reads and writes until the connection is over.
    async fn run(self: Rc<State>, stream: Stream) {
        let mut transport = Transport::new(stream);
        let end = poll_fn(|cx| {
            if let Err(end) = transport.exchange(cx, &self.core) {
                return Poll::Ready(end);
            }
            let core = self.core.borrow();
            let leaves = core.is_idle() && (core.is_away() || !self.pooled.get());
            if leaves { Poll::Ready(End::Fault(Code::NO_ERROR)) } else { Poll::Pending }
        })
        .await;
        let mut core = self.core.borrow_mut();
        match end {
            End::Closed => core.fail(Failure::Lost),
            End::Fault(code) => {
                core.fail(Failure::Malformed);
                core.goaway(code);
                // Whether it hears this or not, we leave.
                let _ =
                    transport.write(&mut Context::from_waker(std::task::Waker::noop()), &mut core);
            }
        }
    }
}

/// An exchange on a connection.
pub(crate) struct Outbound {
    state: Rc<State>,
    /// It is the connection's first.
    fresh: bool,
    place: Place,
    /// Bytes that were sent since the last flush; a head or end counts as one.
    queued: usize,
}

enum Place {
    /// It was refused, given up, or never begun.
    Over,
    /// All streams that the upstream takes are open.
    Waiting(Box<Waiting>),
    /// `reader` is handed over to the response's body.
    Open { reader: Option<Link>, writer: Link },
}

/// A request that has no stream yet.
#[derive(Default)]
struct Waiting {
    block: Vec<u8>,
    chunks: Vec<Bytes>,
    ended: bool,
    trailers: Option<Fields>,
}

impl Outbound {
    pub(crate) fn link(&self) -> Rc<exchange::Link> {
        self.state.link.clone()
    }

    pub(crate) fn head(
        &mut self,
        head: &RequestHead,
        length: Length,
        _: Option<&str>,
    ) -> Result<(), UpstreamError> {
        self.queued += 1;
        let mut block = Vec::new();
        let mut core = self.state.core.borrow_mut();
        if core.has_place() {
            let secure = self.state.secure;
            let id = core.open_with(|out| request(out, head, secure, length));
            drop(core);
            self.place = self.take(id);
        } else {
            request(&mut block, head, self.state.secure, length);
            self.place = Place::Waiting(Box::new(Waiting { block, ..Waiting::default() }));
        }
        Ok(())
    }

    fn take(&self, id: u32) -> Place {
        let core = &self.state.core;
        match Link::new(core, id, Half::Writer) {
            Some(writer) => Place::Open { reader: Link::new(core, id, Half::Reader), writer },
            None => Place::Over,
        }
    }

    pub(crate) fn data(&mut self, chunk: Bytes) {
        self.queued += chunk.len();
        match &mut self.place {
            Place::Over => {}
            Place::Waiting(waiting) => waiting.chunks.push(chunk),
            Place::Open { writer, .. } => writer.core.borrow_mut().send(writer.id, chunk),
        }
    }

    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        self.queued += 1;
        match &mut self.place {
            Place::Over => {}
            Place::Waiting(waiting) => {
                (waiting.ended, waiting.trailers) = (true, trailers.cloned());
            }
            Place::Open { writer, .. } => writer.core.borrow_mut().finish(writer.id, trailers),
        }
    }

    /// Cancels the stream, when it was not over already.
    pub(crate) fn abort(&mut self) {
        self.place = Place::Over;
    }

    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        if let Place::Waiting(waiting) = &mut self.place {
            let mut core = self.state.core.borrow_mut();
            if !core.is_open() {
                return Poll::Ready(Err(UpstreamError::NotTaken));
            }
            if !core.has_place() {
                core.wait(cx);
                return Poll::Pending;
            }
            let waiting = std::mem::take(waiting);
            let id = core.open_with(|out| out.extend_from_slice(&waiting.block));
            waiting.chunks.into_iter().for_each(|chunk| core.send(id, chunk));
            if waiting.ended {
                core.finish(id, waiting.trailers.as_ref());
            }
            drop(core);
            self.place = self.take(id);
        }
        let Place::Open { writer, .. } = &self.place else { return Poll::Ready(Ok(())) };
        let sent = writer.core.borrow_mut().poll_sent(writer.id, cx);
        match ready!(sent) {
            // RFC 9113 section 8.1: an upstream may answer early and stop reading with NO_ERROR.
            Ok(()) | Err(Failure::Reset(Code::NO_ERROR)) => {
                self.queued = 0;
                Poll::Ready(Ok(()))
            }
            Err(why) => Poll::Ready(Err(self.meaning(why))),
        }
    }

    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Incoming, UpstreamError>> {
        // A request that still waits is woken by whoever flushes it.
        let Place::Open { reader, .. } = &mut self.place else { return Poll::Pending };
        let Some(link) = reader else { return Poll::Pending };
        let came = link.core.borrow_mut().poll_head(link.id, cx, head);
        let length = match ready!(came) {
            Ok(length) => length,
            Err(why) => return Poll::Ready(Err(self.meaning(why))),
        };
        if (100..200).contains(&head.status) {
            return Poll::Ready(Ok(Incoming::Interim));
        }
        let read = link.core.borrow().is_read(link.id);
        let body = match reader.take() {
            Some(link) if !read => Body::stream(Box::new(ResponseBody(link)), length),
            _ => Body::empty(),
        };
        Poll::Ready(Ok(Incoming::Final(body)))
    }

    /// RFC 9113 sections 6.8 and 8.7: what the peer did not take may be sent again.
    fn meaning(&self, why: Failure) -> UpstreamError {
        match why {
            Failure::NotTaken | Failure::Reset(Code::REFUSED) => UpstreamError::NotTaken,
            Failure::Lost => UpstreamError::Closed { fresh: self.fresh },
            // A reset of a stream that was open is no idle connection's end.
            Failure::Reset(_) => UpstreamError::Closed { fresh: true },
            Failure::TooLarge => UpstreamError::TooLarge,
            Failure::Malformed | Failure::Dropped => UpstreamError::Protocol,
        }
    }
}
