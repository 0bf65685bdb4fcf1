//! A request stream (RFC 9114 section 4.1): HEADERS, any DATA, perhaps trailers, the end.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pilotlight_filter::{
    Body, BodyError, Exchange, Fields, Frame, RequestHead, ResponseHead, Source, Version, exchange,
};
use quinn::{ReadError, RecvStream, SendStream};

use super::Connection;
use super::frame::{Code, Parser, Piece, Role};
use super::qpack::{self, BadSection};
use super::reply::Reply;
use crate::answer;
use crate::codec::h1::head::BadHead;
use crate::codec::section::{self, Lines, Trailers};
use crate::codec::streams::Opened;
use crate::codec::{Downstream, Length};
use crate::drive::drive;
use crate::timer::Timer;

/// Most bytes of one read.
const READ_MAX: usize = 64 * 1024;

/// A section that is over the listener's `header_bytes` before it is decoded.
const OVERSIZED: BadHead = BadHead { status: 431, detail: "request head too large" };

/// Why a request went no further.
enum Fail {
    /// The client gave it up, or the connection is lost.
    Gone,
    /// The client breaks the protocol: the connection ends.
    Connection(Code),
    /// The stream ends.
    Stream(Code),
    /// It can be answered, unless its status is 400: then it is malformed.
    Head(BadHead),
}

impl From<Code> for Fail {
    fn from(code: Code) -> Fail {
        Fail::Connection(code)
    }
}

impl From<BadSection> for Fail {
    fn from(bad: BadSection) -> Fail {
        match bad {
            BadSection::Encoding => Fail::Connection(Code::Decompression),
            BadSection::Line(bad) => Fail::Head(bad),
        }
    }
}

/// One request, from its first byte to the end of its response.
pub(super) async fn serve(
    connection: Rc<Connection>,
    opened: Opened,
    send: SendStream,
    recv: RecvStream,
) {
    let inlet = connection.inlet.clone();
    let mut reply = Reply::new(inlet.clone(), send);
    let mut reader = Reader::new(connection.clone(), recv);
    reader.timer.arm(inlet.listener.settings.timeouts.header);
    let head = match poll_fn(|cx| reader.poll_head(cx)).await {
        Ok(head) => head,
        Err(fail) => {
            if matches!(fail, Fail::Gone) {
                opened.cancelled();
            }
            return refuse(&mut reader, &mut reply, fail).await;
        }
    };
    let body = if reader.is_over() {
        Body::empty()
    } else {
        let asked = head.expects.then(|| reply.expects());
        Body::stream(Box::new(RequestBody { reader, asked, trailers: None }), head.length)
    };
    let request = exchange::Request { head: head.head, body, ..Default::default() };
    let mut exchange = Exchange::new(inlet.worker.serial(), inlet.peer.clone(), request);
    drive(&inlet, inlet.worker.local(), &mut exchange, &mut reply).await;
    reply.last_words(connection.quic.rtt()).await;
    if reply.was_cancelled() {
        opened.cancelled();
    }
    let buffers = &inlet.worker.buffers;
    buffers.put(exchange.request.head.fields.adopt(Vec::new()));
    buffers.put(exchange.response.head.fields.adopt(Vec::new()));
}

/// Ends what never became an exchange.
async fn refuse(reader: &mut Reader, reply: &mut Reply, fail: Fail) {
    let inlet = &reader.connection.inlet;
    match fail {
        Fail::Gone => {}
        Fail::Connection(code) => reader.connection.fail(code),
        Fail::Stream(code) => {
            reader.stop(code);
            reply.reset(code);
        }
        Fail::Head(bad) => {
            let (mut head, request) = (ResponseHead::default(), sketch());
            let body = answer::refusal(inlet, &mut head, &request, bad.status, bad.detail);
            if bad.status == 400 {
                reader.stop(Code::MessageError);
                reply.reset(Code::MessageError);
                return;
            }
            reply.head(&head, Length::Exact(body.len() as u64));
            reply.data(body);
            reply.finish(None);
            // A client that is gone misses nothing.
            let _ = poll_fn(|cx| reply.poll_flush(cx)).await;
        }
    }
}

fn sketch() -> RequestHead {
    let mut head = RequestHead::default();
    head.version = Version::Http3;
    head
}

/// The client's side of the stream.
struct Reader {
    connection: Rc<Connection>,
    recv: RecvStream,
    parser: Parser,
    bytes: Bytes,
    /// What was read ahead to see whether the request has a body.
    ahead: Option<Piece>,
    timer: Timer,
    ended: bool,
}

impl Reader {
    fn new(connection: Rc<Connection>, recv: RecvStream) -> Reader {
        let limit = connection.inlet.listener.settings.limits.header_bytes as u64;
        Reader {
            recv,
            parser: Parser::new(Role::Request { section: limit }, connection.load.clone()),
            bytes: Bytes::new(),
            ahead: None,
            timer: connection.inlet.worker.timers.timer(),
            ended: false,
            connection,
        }
    }

    /// Whether nothing follows.
    fn is_over(&self) -> bool {
        self.ended && self.ahead.is_none() && self.bytes.is_empty()
    }

    fn stop(&mut self, code: Code) {
        self.ended = true;
        // The client may have ended or reset it.
        let _ = self.recv.stop(code.value());
    }

    /// The next piece of a frame; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>, Fail>> {
        loop {
            if let Some(piece) = self.ahead.take() {
                return Poll::Ready(Ok(Some(piece)));
            }
            if let Some(piece) = self.parser.next(&mut self.bytes)? {
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.ended {
                // Section 7.1: a frame that is cut off is an error of the connection.
                let whole = self.parser.is_between();
                return Poll::Ready(if whole { Ok(None) } else { Err(Code::FrameError.into()) });
            }
            match ready!(pin!(self.recv.read_chunk(READ_MAX, true)).poll(cx)) {
                Ok(Some(chunk)) => self.bytes = chunk.bytes,
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Err(match error {
                        ReadError::IllegalOrderedRead => Fail::Stream(Code::InternalError),
                        _ => Fail::Gone,
                    }));
                }
            }
        }
    }

    /// The request's head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<section::Head, Fail>> {
        let piece = match self.poll_piece(cx) {
            Poll::Ready(piece) => piece?,
            Poll::Pending => {
                let late = || Err(Fail::Stream(Code::RequestIncomplete));
                return self.timer.poll(cx).map(|()| late());
            }
        };
        self.timer.disarm();
        let section = match piece {
            Some(Piece::Whole(_, section)) => section,
            Some(Piece::TooLarge) => return Poll::Ready(Err(Fail::Head(OVERSIZED))),
            Some(Piece::Data(_)) => return Poll::Ready(Err(Code::FrameUnexpected.into())),
            None => return Poll::Ready(Err(Fail::Stream(Code::RequestIncomplete))),
        };
        self.connection.load.earn();
        let inlet = &self.connection.inlet;
        let mut head = RequestHead::default();
        head.fields.adopt(inlet.worker.buffers.take());
        let mut lines = Lines::new(Version::Http3, inlet.bounds(), head);
        qpack::decode(&section, |name, value| lines.line(name, value))?;
        // The end comes with the head when there is no body: then the exchange knows it at once.
        let ends = match self.poll_piece(cx) {
            Poll::Ready(Ok(None)) => true,
            Poll::Ready(Ok(piece)) => {
                self.ahead = piece;
                false
            }
            Poll::Ready(Err(fail)) => return Poll::Ready(Err(fail)),
            Poll::Pending => false,
        };
        Poll::Ready(lines.finish(ends, true).map_err(Fail::Head))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.ended {
            // Section 4.1: the answer did not need the rest of the request.
            self.stop(Code::NoError);
        }
    }
}

/// A request's body.
struct RequestBody {
    reader: Reader,
    /// Set once somebody wants the body: a 100 (Continue) is due.
    asked: Option<Rc<Cell<bool>>>,
    /// They have come; only the end may follow.
    trailers: Option<Fields>,
}

impl RequestBody {
    fn trailers(&mut self, section: &[u8]) -> Result<(), Fail> {
        let mut trailers = Trailers::new(self.reader.connection.inlet.bounds());
        qpack::decode(section, |name, value| trailers.line(name, value))?;
        self.trailers = Some(trailers.list);
        Ok(())
    }

    fn fail(&mut self, fail: Fail) -> BodyError {
        match fail {
            Fail::Gone => return BodyError::Reset,
            Fail::Connection(code) => self.reader.connection.fail(code),
            Fail::Stream(code) => self.reader.stop(code),
            Fail::Head(_) => self.reader.stop(Code::MessageError),
        }
        BodyError::Malformed
    }
}

impl Source for RequestBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            let Poll::Ready(piece) = self.reader.poll_piece(cx) else {
                if let Some(asked) = self.asked.take() {
                    asked.set(true);
                }
                let idle = self.reader.connection.inlet.listener.settings.timeouts.body_idle;
                self.reader.timer.start(idle);
                let late = self.reader.timer.poll(cx);
                return late.map(|()| Some(Err(BodyError::Timeout)));
            };
            self.reader.timer.disarm();
            let failed = match piece {
                Ok(None) => {
                    return Poll::Ready(self.trailers.take().map(|t| Ok(Frame::Trailers(t))));
                }
                Ok(Some(_)) if self.trailers.is_some() => Code::FrameUnexpected.into(),
                Ok(Some(Piece::TooLarge)) => Fail::Head(OVERSIZED),
                Ok(Some(Piece::Data(bytes))) => return Poll::Ready(Some(Ok(Frame::Data(bytes)))),
                Ok(Some(Piece::Whole(_, section))) => match self.trailers(&section) {
                    Ok(()) => continue,
                    Err(fail) => fail,
                },
                Err(fail) => fail,
            };
            return Poll::Ready(Some(Err(self.fail(failed))));
        }
    }
}
