//! The client's side of an exchange: what takes its response.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pilotlight_filter::{Fields, Name, ResponseHead};

use super::Conn;
use crate::codec::{Downstream, Gone, Length};
use crate::stream::Stream;

/// The connection as the taker of a response.
pub(super) struct Down {
    pub(super) conn: Rc<RefCell<Conn>>,
}

impl Downstream for Down {
    fn interim(&mut self, head: &ResponseHead) {
        let mut conn = self.conn.borrow_mut();
        if !conn.current.http10 && !conn.current.head_sent {
            conn.writer.response(head, Length::None, true, None);
        }
    }

    fn head(&mut self, head: &ResponseHead, length: Length) {
        let conn = &mut *self.conn.borrow_mut();
        let current = &mut conn.current;
        current.head_sent = true;
        if head.status == 101 {
            let to = String::from_utf8_lossy(head.fields.known(Name::Upgrade).unwrap_or_default());
            let switches = match &*to {
                "" => "upgrade".to_owned(),
                to => format!("upgrade\r\nupgrade: {to}"),
            };
            current.close = true;
            conn.writer.response(head, Length::None, true, Some(&switches));
            return;
        }
        // A body that is still owed a 100 may never come: the framing of what follows is unknown.
        current.until_close = length == Length::Unknown && current.http10;
        current.close |= conn.inlet.worker.is_draining()
            || current.expects && !conn.decoder.is_done()
            || current.until_close;
        let connection = match (current.close, current.http10) {
            (true, _) => Some("close"),
            (false, true) => Some("keep-alive"),
            (false, false) => None,
        };
        conn.writer.response(head, length, !current.http10, connection);
    }

    fn data(&mut self, chunk: Bytes) {
        self.conn.borrow_mut().writer.data(chunk);
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        let conn = &mut *self.conn.borrow_mut();
        conn.writer.finish(trailers);
        conn.current.finished = true;
    }

    fn abort(&mut self) {
        self.conn.borrow_mut().current.broken = true;
    }

    fn queued(&self) -> usize {
        self.conn.borrow().writer.queued()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.conn.borrow_mut().poll_flush(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut conn = self.conn.borrow_mut();
        // While a body is on its way, its stream sees the end first.
        if !conn.decoder.is_done() || conn.inbox.bytes().len() >= crate::worker::BUFFER {
            return Poll::Pending;
        }
        ready!(conn.stream.poll_readable(cx));
        match ready!(conn.poll_fill(cx)) {
            Ok(0) | Err(_) => {
                conn.current.broken = true;
                Poll::Ready(())
            }
            // A pipelined request: it waits its turn. Look again for the end behind it.
            Ok(_) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn tunnel(&mut self) -> Option<(Stream, Bytes)> {
        let conn = &mut *self.conn.borrow_mut();
        conn.current.close = true;
        let mut early = conn.body.split();
        conn.inbox.move_to(&mut early);
        Some((conn.stream.take(), early.freeze()))
    }
}
