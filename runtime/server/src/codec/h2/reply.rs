//! A stream as the taker of a response.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{Response, StatusCode};
use pilotlight_filter::{Fields, ResponseHead};

use super::flow::Outflow;
use crate::codec::{Downstream, Gone, Length, convert};
use crate::stream::Stream;
use crate::timer::Timer;
use crate::worker::Inlet;

/// Interim responses that wait at most; more are dropped (the upstream side bounds them too).
const INTERIM_MAX: usize = 8;

/// Takes the response of one exchange.
pub(super) struct Reply {
    inlet: Rc<Inlet>,
    respond: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    interim: Vec<Response<()>>,
    head: Option<Response<()>>,
    out: Outflow,
    /// Runs while the client does not read.
    timer: Option<Timer>,
    /// True once the request's body is wanted and its 100 (Continue) not yet sent.
    asked: Option<Rc<Cell<bool>>>,
    reset: bool,
    cancelled: bool,
}

/// A head as the h2 crate wants it.
pub(super) fn response(head: &ResponseHead, length: Length) -> Response<()> {
    let mut response = Response::new(());
    let status = StatusCode::from_u16(head.status);
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = convert::header_map(&head.fields, length);
    response
}

impl Reply {
    pub(super) fn new(inlet: Rc<Inlet>, respond: SendResponse<Bytes>) -> Reply {
        Reply {
            inlet,
            respond,
            stream: None,
            interim: Vec::new(),
            head: None,
            out: Outflow::default(),
            timer: None,
            asked: None,
            reset: false,
            cancelled: false,
        }
    }

    /// The client waits for a 100 before it sends the body: set the flag when one is due.
    pub(super) fn expects(&mut self) -> Rc<Cell<bool>> {
        self.asked.insert(Rc::default()).clone()
    }

    /// Whether the client reset the stream before it had its answer.
    pub(super) fn was_cancelled(&self) -> bool {
        self.cancelled
    }

    fn send_heads(&mut self) -> Result<(), h2::Error> {
        if self.asked.take_if(|asked| asked.get()).is_some() && self.stream.is_none() {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            self.respond.send_informational(go_on)?;
        }
        for interim in self.interim.drain(..) {
            self.respond.send_informational(interim)?;
        }
        if let Some(head) = self.head.take() {
            let ends = self.out.take_bare_end();
            self.stream = Some(self.respond.send_response(head, ends)?);
        }
        Ok(())
    }

    /// The stream is of no use any more.
    fn lost(&mut self) -> Gone {
        self.cancelled |= !self.out.is_sent();
        self.reset = true;
        Gone
    }
}

impl Downstream for Reply {
    fn interim(&mut self, head: &ResponseHead) {
        let fits = self.stream.is_none() && self.interim.len() < INTERIM_MAX;
        // 101 has no meaning here (RFC 9113 section 8.6).
        if fits && head.status != 101 {
            self.interim.push(response(head, Length::None));
        }
    }

    fn head(&mut self, head: &ResponseHead, length: Length) {
        self.head = Some(response(head, length));
    }

    fn data(&mut self, chunk: Bytes) {
        self.out.data(chunk);
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.out.finish(trailers.and_then(convert::trailer_map));
    }

    fn abort(&mut self) {
        if self.reset {
            return;
        }
        self.reset = true;
        match &mut self.stream {
            Some(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    fn queued(&self) -> usize {
        let due = self.asked.as_ref().is_some_and(|asked| asked.get());
        let heads = self.interim.len() + usize::from(self.head.is_some()) + usize::from(due);
        self.out.queued() + heads
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.reset || self.send_heads().is_err() {
            return Poll::Ready(Err(self.lost()));
        }
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        let before = self.out.queued();
        match self.out.poll_send(cx, stream) {
            Poll::Ready(Ok(())) => {
                if let Some(timer) = &self.timer {
                    timer.disarm();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(self.lost())),
            Poll::Pending => {
                let timer = self.timer.get_or_insert_with(|| self.inlet.worker.timers.timer());
                if self.out.queued() < before {
                    timer.disarm();
                }
                timer.start(self.inlet.listener.settings.timeouts.body_idle);
                if timer.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // A window that stays shut holds our memory.
                stream.send_reset(Reason::CANCEL);
                Poll::Ready(Err(self.lost()))
            }
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.out.is_sent() && !self.reset {
            return Poll::Pending;
        }
        let polled = match &mut self.stream {
            _ if self.reset => return Poll::Ready(()),
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        polled.map(|_| {
            let _ = self.lost();
        })
    }

    fn tunnel(&mut self) -> Option<(Stream, Bytes)> {
        None
    }
}
