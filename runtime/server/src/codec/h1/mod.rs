//! HTTP/1.0 and 1.1, the client's side: one task a connection, one exchange at a time.
//!
//! An idle connection holds no buffer and no exchange. A request costs two reads and two writes
//! of system calls, ours and the upstream's, and no timer call.

pub(crate) mod body;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub(crate) mod differential;
mod down;
pub(crate) mod head;
mod hop;
pub(crate) mod inbox;
mod refuse;
mod source;
pub(crate) mod write;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use pilotlight_filter::{Body, RequestHead, Scheme, Version};

use self::body::Decoder;
use self::down::Down;
use self::head::{BadHead, Bounds, Framing};
use self::inbox::Inbox;
use self::refuse::refuse;
use self::source::RequestBody;
use self::write::Writer;
use super::Gone;
use super::linger::{DRAIN_BYTES, DRAIN_TIME, linger};
use crate::drive::drive;
use crate::stream::Stream;
use crate::timer::Timer;
use crate::worker::Inlet;

/// Serves a connection until it ends.
pub(crate) fn serve(inlet: Rc<Inlet>, stream: Stream) -> impl Future<Output = ()> {
    let conn = Rc::new(RefCell::new(Conn::new(inlet, stream)));
    // What needs room is boxed, so that an idle connection is small.
    async move {
        while poll_fn(|cx| conn.borrow_mut().poll_wake(cx)).await {
            if !Box::pin(exchanges(&conn)).await {
                break;
            }
        }
        Box::pin(close(&conn)).await;
    }
}

async fn close(conn: &RefCell<Conn>) {
    let inlet = conn.borrow().inlet.clone();
    let mut stream = conn.borrow_mut().stream.take();
    if conn.borrow().current.is_cut() {
        return stream.reset();
    }
    linger(&inlet.worker, &mut stream).await;
}

/// Exchanges until the connection idles (true) or ends (false).
async fn exchanges(conn: &Rc<RefCell<Conn>>) -> bool {
    let inlet = &conn.borrow().inlet.clone();
    let worker = &inlet.worker;
    let mut exchange = worker.spares.take(&inlet.peer);
    let idles = loop {
        let head = &mut exchange.request.head;
        let framing = match poll_fn(|cx| conn.borrow_mut().poll_head(cx, head)).await {
            Ok(framing) => framing,
            Err(HeadEnd::Closed) => break false,
            Err(HeadEnd::Idle) => {
                conn.borrow_mut().idle();
                break true;
            }
            Err(HeadEnd::Bad(bad)) => {
                refuse(inlet, conn, head, bad).await;
                break false;
            }
        };
        exchange.serial = worker.serial();
        exchange.request.head.scheme = match inlet.peer.tls {
            Some(_) => Scheme::Https,
            None => Scheme::Http,
        };
        let request = &mut exchange.request;
        request.body = conn.borrow_mut().begin(conn, &request.head, &framing);
        request.upgrade = hop::upgrade(&mut request.head, &framing);
        hop::strip(&mut request.head, &framing);
        drive(inlet, worker.local(), &mut exchange, &mut Down { conn: conn.clone() }).await;
        worker.buffers.put(exchange.response.head.fields.adopt(Vec::new()));
        exchange.renew(0);
        if !poll_fn(|cx| conn.borrow_mut().poll_end(cx)).await {
            break false;
        }
        conn.borrow_mut().rest();
    };
    worker.buffers.put(exchange.request.head.fields.adopt(Vec::new()));
    worker.spares.put(exchange);
    idles
}

/// A connection: transport, what was read ahead, what waits to be written.
pub(crate) struct Conn {
    inlet: Rc<Inlet>,
    stream: Stream,
    timer: Timer,
    /// Heads, and whatever came behind them.
    inbox: Inbox,
    /// Bytes of a body.
    body: BytesMut,
    decoder: Decoder,
    writer: Writer,
    phase: ConnPhase,
    /// The request under way.
    current: Current,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnPhase {
    Idle,
    Head,
    Exchange,
}

/// What the response to the request under way must know.
#[derive(Debug, Clone, Copy, Default)]
struct Current {
    /// The client asked, or its version means, that the connection ends.
    close: bool,
    http10: bool,
    /// A 100 (Continue) is owed before the body is read.
    expects: bool,
    head_sent: bool,
    finished: bool,
    broken: bool,
    /// Bytes of its body that nobody wanted.
    discarded: usize,
    /// The body ends where the connection does (HTTP/1.0).
    until_close: bool,
}

impl Current {
    /// Whether an orderly end of the connection would make a broken message look complete.
    fn is_cut(self) -> bool {
        self.broken && self.until_close && !self.finished
    }
}

enum HeadEnd {
    Closed,
    /// Nothing came for a while.
    Idle,
    Bad(BadHead),
}

/// A connection keeps its buffers this long after an exchange.
const WARM: Duration = Duration::from_millis(200);
/// An idle connection waits this long for a last request when the gateway drains.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

impl Conn {
    fn new(inlet: Rc<Inlet>, stream: Stream) -> Conn {
        let timer = inlet.worker.timers.timer();
        timer.arm(inlet.listener.settings.timeouts.header);
        Conn {
            inlet,
            stream,
            timer,
            inbox: Inbox::default(),
            body: BytesMut::new(),
            decoder: Decoder::Done,
            writer: Writer::default(),
            phase: ConnPhase::Idle,
            current: Current::default(),
        }
    }

    /// Waits for the first byte of a request. False: the connection has idled long enough.
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if !self.inbox.bytes().is_empty() || self.stream.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        if self.timer.poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        if self.inlet.worker.is_draining() && self.phase == ConnPhase::Idle {
            self.phase = ConnPhase::Head;
            self.timer.arm(DRAIN_IDLE);
            return self.timer.poll(cx).map(|()| false);
        }
        Poll::Pending
    }

    /// Reads a request's head into `head`, whose arena becomes the read buffer.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut RequestHead,
    ) -> Poll<Result<Framing, HeadEnd>> {
        let bounds = self.inlet.bounds();
        loop {
            self.inbox.skip_empty_line();
            match self.inbox.find_head() {
                Err(bad) => return Poll::Ready(Err(HeadEnd::Bad(bad))),
                Ok(Some(end)) if end <= bounds.bytes => {
                    self.inbox.hand_over(&mut head.fields, end);
                    let parsed = head::request(head, bounds);
                    return Poll::Ready(parsed.map_err(HeadEnd::Bad));
                }
                Ok(None) if self.inbox.bytes().len() < bounds.bytes => {}
                Ok(_) => return Poll::Ready(Err(HeadEnd::Bad(self.oversized(bounds)))),
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                    return Poll::Ready(Err(HeadEnd::Closed));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if self.phase == ConnPhase::Idle && self.inbox.bytes().is_empty() => {
                    return self.timer.poll(cx).map(|()| Err(HeadEnd::Idle));
                }
                Poll::Pending if self.is_slow(cx) => {
                    let slow = BadHead { status: 408, detail: "the request's head took too long" };
                    let end = if self.inbox.bytes().is_empty() {
                        HeadEnd::Closed
                    } else {
                        HeadEnd::Bad(slow)
                    };
                    return Poll::Ready(Err(end));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// A head's time runs from the first wait for the rest of it.
    fn is_slow(&mut self, cx: &mut Context<'_>) -> bool {
        if self.phase != ConnPhase::Head {
            self.phase = ConnPhase::Head;
            self.timer.arm(self.inlet.listener.settings.timeouts.header);
        }
        self.timer.poll(cx).is_ready()
    }

    fn oversized(&self, bounds: Bounds) -> BadHead {
        let bytes = self.inbox.bytes();
        let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        match line > bounds.uri + 80 {
            true => BadHead { status: 414, detail: "request target too long" },
            false => BadHead { status: 431, detail: "request head too large" },
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        self.inbox.poll_fill(cx, &mut self.stream, &self.inlet.worker.buffers)
    }

    /// An exchange begins: its body, as a stream over this connection.
    fn begin(&mut self, this: &Rc<RefCell<Conn>>, head: &RequestHead, framing: &Framing) -> Body {
        self.phase = ConnPhase::Exchange;
        self.timer.disarm();
        if self.writer.is_released() {
            self.writer.refill(self.inlet.worker.buffers.take());
        }
        let http10 = head.version == Version::Http10;
        self.current = Current {
            http10,
            close: framing.close || http10 && !framing.keep_alive,
            expects: framing.expects && !http10,
            ..Current::default()
        };
        self.decoder = Decoder::new(framing, false);
        if self.decoder.is_done() {
            return Body::empty();
        }
        self.inbox.move_to(&mut self.body);
        Body::stream(Box::new(RequestBody::new(this.clone())), framing.length)
    }

    /// After an exchange: flushes, reads the rest of the request away, and says whether the
    /// connection can serve another.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.poll_flush(cx).map_err(|_| ()) == Poll::Ready(Err(())) {
            return Poll::Ready(false);
        }
        if self.writer.queued() > 0 {
            return Poll::Pending;
        }
        let current = self.current;
        if current.close
            || current.broken
            || !current.finished
            || matches!(self.stream, Stream::Closed)
        {
            return Poll::Ready(false);
        }
        if !self.decoder.is_done() {
            // An answer came before the request's end: a little of the rest is read away.
            if current.expects || !matches!(ready!(self.poll_discard(cx)), Ok(())) {
                return Poll::Ready(false);
            }
        }
        if !self.body.is_empty() {
            // Pipelined behind a body.
            self.inbox.move_from(&mut self.body);
        }
        Poll::Ready(true)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.phase != ConnPhase::Idle {
            self.phase = ConnPhase::Idle;
            self.timer.arm(DRAIN_TIME);
        }
        loop {
            match self.poll_frame(cx) {
                Poll::Ready(Some(Ok(pilotlight_filter::Frame::Data(chunk)))) => {
                    self.current.discarded += chunk.len();
                    if self.current.discarded > DRAIN_BYTES {
                        return Poll::Ready(Err(Gone));
                    }
                }
                Poll::Ready(Some(Ok(_)) | None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Gone)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Between exchanges: the next request usually comes at once, and finds everything in place.
    fn rest(&mut self) {
        self.phase = ConnPhase::Idle;
        self.timer.arm(WARM);
    }

    /// Nothing came: gives memory back, and begins to count the time to live.
    fn idle(&mut self) {
        let buffers = &self.inlet.worker.buffers;
        if self.stream.tells_readable() {
            self.inbox.release(buffers);
            buffers.put(self.writer.release());
            self.body = BytesMut::new();
        }
        self.timer.arm(self.inlet.listener.settings.timeouts.keepalive);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.writer.queued() == 0 {
            return Poll::Ready(Ok(()));
        }
        match self.writer.poll_flush(cx, &mut self.stream) {
            Poll::Ready(Ok(())) => {
                self.timer.disarm();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => {
                self.current.broken = true;
                Poll::Ready(Err(Gone))
            }
            Poll::Pending => {
                // A stalled reader: the timer runs from the last progress in either direction.
                self.timer.start(self.inlet.listener.settings.timeouts.body_idle);
                if self.timer.poll(cx).is_ready() {
                    self.current.broken = true;
                    return Poll::Ready(Err(Gone));
                }
                Poll::Pending
            }
        }
    }
}
