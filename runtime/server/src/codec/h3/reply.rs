//! A stream as the taker of a response: head, body and end leave in one write where they can.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use pilotlight_filter::{Fields, ResponseHead};
use quinn::{SendStream, StoppedError, VarInt};

use super::frame::{self, Code};
use super::qpack;
use crate::codec::{Downstream, Gone, Length};
use crate::stream::Stream;
use crate::timer::Timer;
use crate::worker::Inlet;

/// Chunks up to this size are copied behind their frame header; larger ones go as they are.
const COPY_MAX: usize = 2 * 1024;
/// Interim responses that wait at most; more are dropped (the upstream side bounds them too).
const INTERIM_MAX: u8 = 8;

/// Bounds of the wait between the last byte of a broken message and its reset.
const LAST_WORDS_MIN: Duration = Duration::from_millis(20);
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// Takes the response of one exchange.
pub(super) struct Reply {
    inlet: Rc<Inlet>,
    send: SendStream,
    /// Frame headers, sections and small chunks that are not in `queue` yet.
    own: BytesMut,
    queue: VecDeque<Bytes>,
    queued: usize,
    end: End,
    interim: u8,
    head_sent: bool,
    /// Ready when the client stops the stream.
    stopped: Option<Stopped>,
    /// Runs while the client does not read.
    timer: Option<Timer>,
    /// True once the request's body is wanted and its 100 (Continue) not yet sent.
    asked: Option<Rc<Cell<bool>>>,
    cancelled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Queued,
    Sent,
    /// Broken off: what is queued still goes out, then the stream is reset.
    Cut,
    /// Reset, by either side.
    Broken,
}

impl Reply {
    pub(super) fn new(inlet: Rc<Inlet>, send: SendStream) -> Reply {
        Reply {
            inlet,
            send,
            own: BytesMut::new(),
            queue: VecDeque::new(),
            queued: 0,
            end: End::Open,
            interim: 0,
            head_sent: false,
            stopped: None,
            timer: None,
            asked: None,
            cancelled: false,
        }
    }

    /// The client waits for a 100 before it sends the body: set the flag when one is due.
    pub(super) fn expects(&mut self) -> Rc<Cell<bool>> {
        self.asked.insert(Rc::default()).clone()
    }

    /// Whether the client gave the stream up before it had its answer.
    pub(super) fn was_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Resets a stream that was broken off. QUIC drops what a reset overtakes, and quinn does not
    /// tell what has arrived: so the reset waits for as long as the client needs to hear the rest.
    pub(super) async fn last_words(&mut self, rtt: Duration) {
        if self.end != End::Cut || poll_fn(|cx| self.poll_flush(cx)).await.is_err() {
            return;
        }
        tokio::time::sleep((rtt * 2).clamp(LAST_WORDS_MIN, LAST_WORDS_MAX)).await;
        self.reset(Code::InternalError);
    }

    /// Breaks the stream off.
    pub(super) fn reset(&mut self, code: Code) {
        if self.end != End::Broken {
            self.end = End::Broken;
            // It may be finished or stopped already.
            let _ = self.send.reset(code.value());
        }
        self.queue.clear();
        self.own.clear();
        self.queued = 0;
    }

    /// Queues a HEADERS frame; its length is known once the section is written.
    fn section(&mut self, section: &[u8]) {
        let mut header = Vec::with_capacity(8);
        frame::put_number(&mut header, frame::HEADERS);
        frame::put_number(&mut header, section.len() as u64);
        self.own.reserve(header.len() + section.len() + COPY_MAX / 2);
        self.put(&header);
        self.put(section);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.own.put_slice(bytes);
        self.queued += bytes.len();
    }

    fn response(&mut self, head: &ResponseHead, length: Length) {
        let mut section = self.inlet.worker.buffers.take();
        qpack::response(&mut section, head, length);
        self.section(&section);
        self.inlet.worker.buffers.put(section);
    }

    fn lost(&mut self) -> Gone {
        self.cancelled |= matches!(self.end, End::Open | End::Queued);
        self.reset(Code::RequestCancelled);
        Gone
    }

    /// Hands all that is queued to quinn, which sends it when the peer has room.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.asked.take_if(|asked| asked.get()).is_some() && !self.head_sent {
            self.response(
                &ResponseHead { status: 100, ..ResponseHead::default() },
                Length::Unknown,
            );
        }
        if !self.own.is_empty() {
            self.queue.push_back(self.own.split().freeze());
        }
        while !self.queue.is_empty() {
            let polled = {
                let write = pin!(self.send.write_chunks(self.queue.make_contiguous()));
                write.poll(cx)
            };
            match ready!(polled) {
                Ok(written) => {
                    self.queue.drain(..written.chunks);
                    self.queued -= written.bytes;
                }
                Err(_) => return Poll::Ready(Err(self.lost())),
            }
        }
        if self.end == End::Queued {
            self.end = End::Sent;
            // It fails only for a stream that the client stopped: nobody waits for the end then.
            let _ = self.send.finish();
        }
        Poll::Ready(Ok(()))
    }
}

impl Downstream for Reply {
    fn interim(&mut self, head: &ResponseHead) {
        // 101 has no meaning here (RFC 9114 section 4.5).
        if !self.head_sent && self.interim < INTERIM_MAX && head.status != 101 {
            self.interim += 1;
            self.response(head, Length::None);
        }
    }

    fn head(&mut self, head: &ResponseHead, length: Length) {
        self.head_sent = true;
        self.response(head, length);
    }

    fn data(&mut self, chunk: Bytes) {
        if chunk.is_empty() || self.end != End::Open {
            return;
        }
        let mut header = Vec::with_capacity(9);
        frame::put_number(&mut header, frame::DATA);
        frame::put_number(&mut header, chunk.len() as u64);
        self.put(&header);
        if chunk.len() <= COPY_MAX {
            self.put(&chunk);
        } else {
            self.queued += chunk.len();
            self.queue.push_back(self.own.split().freeze());
            self.queue.push_back(chunk);
        }
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        if self.end != End::Open {
            return;
        }
        if let Some(list) = trailers {
            let mut section = self.inlet.worker.buffers.take();
            if qpack::trailers(&mut section, list) {
                self.section(&section);
            }
            self.inlet.worker.buffers.put(section);
        }
        self.end = End::Queued;
    }

    fn abort(&mut self) {
        match self.end {
            End::Open if self.head_sent => self.end = End::Cut,
            _ => self.reset(Code::InternalError),
        }
    }

    fn queued(&self) -> usize {
        let due = self.asked.as_ref().is_some_and(|asked| asked.get());
        self.queued + usize::from(due) + usize::from(self.end == End::Queued)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.end == End::Broken {
            return Poll::Ready(Err(Gone));
        }
        let before = self.queued;
        match self.poll_write(cx) {
            Poll::Pending => {
                let timer = self.timer.get_or_insert_with(|| self.inlet.worker.timers.timer());
                if self.queued < before {
                    timer.disarm();
                }
                timer.start(self.inlet.listener.settings.timeouts.body_idle);
                ready!(timer.poll(cx));
                // A window that stays shut holds our memory.
                Poll::Ready(Err(self.lost()))
            }
            ready => {
                if let Some(timer) = &self.timer {
                    timer.disarm();
                }
                ready
            }
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.end {
            End::Broken => return Poll::Ready(()),
            End::Sent => return Poll::Pending,
            End::Open | End::Queued | End::Cut => {}
        }
        let send = &self.send;
        let stopped = self.stopped.get_or_insert_with(|| Box::pin(send.stopped()));
        let _ = ready!(stopped.as_mut().poll(cx));
        self.stopped = None;
        let _ = self.lost();
        Poll::Ready(())
    }

    fn tunnel(&mut self) -> Option<(Stream, Bytes)> {
        None
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // quinn would finish the stream, as if the message were whole.
        if matches!(self.end, End::Open | End::Queued | End::Cut) {
            self.reset(Code::InternalError);
        }
    }
}
