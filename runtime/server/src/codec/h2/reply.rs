//! A stream as the taker of a response.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pilotlight_filter::{Fields, ResponseHead};

use super::frame::Code;
use super::link::Link;
use super::stream::Failure;
use crate::codec::{Downstream, Gone, Length};
use crate::stream::Stream;
use crate::timer::Timer;
use crate::worker::Inlet;

/// Interim responses, at most; more are dropped (the upstream side bounds them too).
const INTERIM_MAX: u8 = 8;

/// Takes the response of one exchange.
pub(super) struct Reply {
    inlet: Rc<Inlet>,
    link: Link,
    interim: u8,
    head_sent: bool,
    /// Bytes that were sent since the last flush; an end counts as one.
    queued: usize,
    /// Runs while the client does not read.
    timer: Option<Timer>,
    /// True once the request's body is wanted and its 100 (Continue) not yet sent.
    asked: Option<Rc<Cell<bool>>>,
    cancelled: bool,
}

impl Reply {
    pub(super) fn new(inlet: Rc<Inlet>, link: Link) -> Reply {
        Reply {
            inlet,
            link,
            interim: 0,
            head_sent: false,
            queued: 0,
            timer: None,
            asked: None,
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

    pub(super) fn reset(&mut self, code: Code) {
        self.link.core.borrow_mut().reset(self.link.id, code, Failure::Dropped);
    }

    fn lost(&mut self) -> Gone {
        self.cancelled |= !self.link.core.borrow().is_sent(self.link.id);
        Gone
    }

    fn poll_sent(&mut self, cx: &Context<'_>) -> Poll<Result<(), Failure>> {
        let mut core = self.link.core.borrow_mut();
        if self.asked.take_if(|asked| asked.get()).is_some() && !self.head_sent {
            let go_on = ResponseHead { status: 100, ..ResponseHead::default() };
            core.response(self.link.id, &go_on, Length::None);
        }
        core.poll_sent(self.link.id, cx)
    }
}

impl Downstream for Reply {
    fn interim(&mut self, head: &ResponseHead) {
        // 101 has no meaning here (RFC 9113 section 8.6).
        if !self.head_sent && self.interim < INTERIM_MAX && head.status != 101 {
            self.interim += 1;
            self.queued += 1;
            self.link.core.borrow_mut().response(self.link.id, head, Length::None);
        }
    }

    fn head(&mut self, head: &ResponseHead, length: Length) {
        self.head_sent = true;
        self.queued += 1;
        self.link.core.borrow_mut().response(self.link.id, head, length);
    }

    fn data(&mut self, chunk: Bytes) {
        self.queued += chunk.len();
        self.link.core.borrow_mut().send(self.link.id, chunk);
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.queued += 1;
        self.link.core.borrow_mut().finish(self.link.id, trailers);
    }

    fn abort(&mut self) {
        // What windows have room for stands on the wire before the reset.
        self.link.core.borrow_mut().schedule();
        self.reset(Code::INTERNAL);
    }

    fn queued(&self) -> usize {
        let due = self.asked.as_ref().is_some_and(|asked| asked.get());
        self.queued + usize::from(due)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match self.poll_sent(cx) {
            Poll::Ready(Ok(())) => {
                self.queued = 0;
                if let Some(timer) = &self.timer {
                    timer.disarm();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(self.lost())),
            Poll::Pending => {
                let left = self.link.core.borrow().queued(self.link.id);
                let timer = self.timer.get_or_insert_with(|| self.inlet.worker.timers.timer());
                if left < self.queued {
                    timer.disarm();
                }
                self.queued = left;
                timer.start(self.inlet.listener.settings.timeouts.body_idle);
                ready!(timer.poll(cx));
                // A window that stays shut holds our memory.
                let gone = self.lost();
                self.reset(Code::CANCEL);
                Poll::Ready(Err(gone))
            }
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut core = self.link.core.borrow_mut();
        if core.is_sent(self.link.id) {
            return Poll::Pending;
        }
        ready!(core.poll_failed(self.link.id, cx));
        drop(core);
        let _ = self.lost();
        Poll::Ready(())
    }

    fn tunnel(&mut self) -> Option<(Stream, Bytes)> {
        None
    }
}
