//! HTTP/1.1 to an upstream: one connection carries one exchange at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use pilotlight_filter::exchange::Link;
use pilotlight_filter::{
    Body, BodyError, Fields, Frame, Method, Name, RequestHead, ResponseHead, Source, Version,
};

use super::pool::{Permit, Upstream};
use super::{Incoming, UpstreamError};
use crate::codec::Length;
use crate::codec::h1::body::{Decoded, Decoder};
use crate::codec::h1::head::{self, Bounds};
use crate::codec::h1::inbox::Inbox;
use crate::codec::h1::write::Writer;
use crate::stream::Stream;
use crate::tls;
use crate::worker::Worker;

/// Heads of responses: what nginx and Envoy accept by default, and a little more.
const BOUNDS: Bounds = Bounds { bytes: 64 * 1024, fields: 200, uri: 0 };
/// Most bytes of one read of a body.
const READ_MAX: usize = 128 * 1024;

/// A connection to an endpoint.
pub(crate) struct Connection {
    worker: Rc<Worker>,
    upstream: Rc<Upstream>,
    endpoint: usize,
    stream: Stream,
    /// Once filters might ask.
    link: Option<Rc<Link>>,
    inbox: Inbox,
    body: BytesMut,
    decoder: Decoder,
    writer: Writer,
    /// No exchange has ended on it yet.
    fresh: bool,
    request: Progress,
    response: Progress,
    head_request: bool,
    keep: bool,
    /// It serves one exchange and no other.
    apart: bool,
    _permit: Permit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    None,
    Under,
    Done,
}

type Shared = Rc<RefCell<Connection>>;

impl Connection {
    pub(crate) fn new(
        worker: Rc<Worker>,
        upstream: Rc<Upstream>,
        endpoint: usize,
        stream: Stream,
        permit: Permit,
    ) -> Shared {
        Rc::new(RefCell::new(Connection {
            worker,
            upstream,
            endpoint,
            stream,
            link: None,
            inbox: Inbox::default(),
            body: BytesMut::new(),
            decoder: Decoder::Done,
            writer: Writer::default(),
            fresh: true,
            request: Progress::None,
            response: Progress::None,
            head_request: false,
            keep: true,
            apart: false,
            _permit: permit,
        }))
    }

    /// It is never put back: no other exchange may use it.
    pub(crate) fn set_apart(&mut self) {
        self.apart = true;
    }

    /// Whether a kept connection is as it should be: open, and silent.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.stream.is_silent()
    }

    /// Gives memory back while it waits in the pool.
    fn rest(&mut self) {
        let buffers = &self.worker.buffers;
        self.inbox.release(buffers);
        buffers.put(self.writer.release());
        self.body = BytesMut::new();
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        self.inbox.poll_fill(cx, &mut self.stream, &self.worker.buffers)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            match self.decoder.decode(&mut self.body) {
                Ok(Decoded::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::More) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            self.body.reserve(self.decoder.appetite(READ_MAX).max(1024));
            match ready!(self.stream.poll_read(cx, &mut self.body)) {
                Ok(0) | Err(_) => {
                    self.keep = false;
                    return Poll::Ready(match self.decoder.close() {
                        Ok(_) => None,
                        Err(error) => Some(Err(error)),
                    });
                }
                Ok(_) => {}
            }
        }
    }
}

/// Puts the connection back when both directions have ended well.
fn settle(conn: &Shared) {
    let mut c = conn.borrow_mut();
    let done = c.request == Progress::Done && c.response == Progress::Done;
    if !done
        || !c.keep
        || c.apart
        || !c.body.is_empty()
        || !c.inbox.bytes().is_empty()
        || c.writer.queued() > 0
    {
        return;
    }
    (c.request, c.response, c.fresh) = (Progress::None, Progress::None, false);
    c.rest();
    let (upstream, endpoint, worker) = (c.upstream.clone(), c.endpoint, c.worker.clone());
    drop(c);
    upstream.put(&worker, endpoint, conn.clone());
}

/// An exchange on a connection.
pub(crate) struct Outbound {
    conn: Shared,
}

impl Outbound {
    pub(crate) fn new(conn: Shared) -> Outbound {
        Outbound { conn }
    }

    pub(crate) fn link(&self) -> Rc<Link> {
        let conn = &mut *self.conn.borrow_mut();
        conn.link.get_or_insert_with(|| tls::link(&conn.stream)).clone()
    }

    pub(crate) fn head(
        &mut self,
        head: &RequestHead,
        length: Length,
        upgrade: Option<&str>,
    ) -> Result<(), UpstreamError> {
        let conn = &mut *self.conn.borrow_mut();
        if conn.writer.is_released() {
            conn.writer.refill(conn.worker.buffers.take());
        }
        conn.writer.request(head, length, upgrade);
        conn.head_request = head.method() == Method::Head;
        (conn.request, conn.response) = (Progress::Under, Progress::Under);
        Ok(())
    }

    pub(crate) fn data(&mut self, chunk: Bytes) {
        self.conn.borrow_mut().writer.data(chunk);
    }

    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        let mut conn = self.conn.borrow_mut();
        conn.writer.finish(trailers);
        conn.request = Progress::Done;
    }

    pub(crate) fn abort(&mut self) {
        self.conn.borrow_mut().keep = false;
    }

    pub(crate) fn queued(&self) -> usize {
        self.conn.borrow().writer.queued()
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        let conn = &mut *self.conn.borrow_mut();
        match ready!(conn.writer.poll_flush(cx, &mut conn.stream)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => {
                conn.keep = false;
                Poll::Ready(Err(UpstreamError::Closed { fresh: conn.fresh }))
            }
        }
    }

    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Incoming, UpstreamError>> {
        let answer = ready!(self.poll_head(cx, head));
        if answer.is_err() {
            self.conn.borrow_mut().keep = false;
        }
        Poll::Ready(answer)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Incoming, UpstreamError>> {
        let mut borrowed = self.conn.borrow_mut();
        let conn = &mut *borrowed;
        loop {
            match conn.inbox.find_head() {
                Err(_) => return Poll::Ready(Err(UpstreamError::Protocol)),
                Ok(Some(end)) => {
                    conn.inbox.hand_over(&mut head.fields, end);
                    break;
                }
                Ok(None) if conn.inbox.bytes().len() >= BOUNDS.bytes => {
                    return Poll::Ready(Err(UpstreamError::TooLarge));
                }
                Ok(None) => {}
            }
            match ready!(conn.poll_fill(cx)) {
                Ok(0) | Err(_) => {
                    let silent = conn.inbox.bytes().is_empty();
                    return Poll::Ready(Err(match silent {
                        true => UpstreamError::Closed { fresh: conn.fresh },
                        false => UpstreamError::Protocol,
                    }));
                }
                Ok(_) => {}
            }
        }
        let framing = head::response(head, BOUNDS).map_err(|_| UpstreamError::Protocol)?;
        if framing.hop {
            let upgrade = head.fields.known(Name::Upgrade).filter(|_| head.status == 101);
            let upgrade = upgrade.map(<[u8]>::to_vec);
            crate::forward::strip_hop_by_hop(&mut head.fields);
            if let Some(upgrade) = upgrade {
                // It ends at this hop, and is said anew at the next.
                head.fields.push(Name::Upgrade, &upgrade);
                let rest = conn.inbox.take();
                return Poll::Ready(Ok(Incoming::Switched(conn.stream.take(), rest)));
            }
        }
        if (100..200).contains(&head.status) {
            // A switch that nobody asked for, or one without its fields, is no HTTP any more.
            let odd = head.status == 101;
            return Poll::Ready(if odd {
                Err(UpstreamError::Protocol)
            } else {
                Ok(Incoming::Interim)
            });
        }
        let http10 = head.version == Version::Http10;
        conn.keep &= !framing.close && (!http10 || framing.keep_alive);
        let bodiless = conn.head_request || matches!(head.status, 204 | 304);
        conn.decoder = if bodiless { Decoder::Done } else { Decoder::new(&framing, true) };
        conn.inbox.move_to(&mut conn.body);
        if conn.decoder.is_done() {
            conn.response = Progress::Done;
            drop(borrowed);
            settle(&self.conn);
            return Poll::Ready(Ok(Incoming::Final(Body::empty())));
        }
        drop(borrowed);
        let source = ResponseBody { conn: Some(self.conn.clone()) };
        Poll::Ready(Ok(Incoming::Final(Body::stream(Box::new(source), framing.length))))
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        // The request may end after the response did: whoever is last puts the connection back.
        settle(&self.conn);
    }
}

/// A response's body as a stream over its connection.
struct ResponseBody {
    conn: Option<Shared>,
}

impl Source for ResponseBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Some(conn) = &self.conn else { return Poll::Ready(None) };
        let polled = ready!(conn.borrow_mut().poll_frame(cx));
        let ended = match &polled {
            Some(Ok(Frame::Data(_))) => conn.borrow().decoder.is_done(),
            Some(Ok(Frame::Trailers(_))) | None => true,
            Some(Err(_)) => {
                conn.borrow_mut().keep = false;
                true
            }
        };
        if ended && let Some(conn) = self.conn.take() {
            conn.borrow_mut().response = Progress::Done;
            settle(&conn);
        }
        Poll::Ready(polled)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
