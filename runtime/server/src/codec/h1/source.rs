//! A request's body as a stream over its connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use pilotlight_filter::{BodyError, Frame, Source};

use super::Conn;
use super::body::Decoded;

/// Most bytes of one read of a body.
pub(crate) const READ_MAX: usize = 64 * 1024;

/// Pulls from the connection when somebody wants the body.
pub(super) struct RequestBody {
    conn: Rc<RefCell<Conn>>,
}

impl RequestBody {
    pub(super) fn new(conn: Rc<RefCell<Conn>>) -> RequestBody {
        RequestBody { conn }
    }
}

impl Source for RequestBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.conn.borrow_mut().poll_frame(cx)
    }
}

impl Conn {
    /// The next frame of the request's body.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.current.expects && !self.current.head_sent {
            self.current.expects = false;
            self.writer.raw(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        loop {
            match self.decoder.decode(&mut self.body) {
                Ok(Decoded::Frame(frame)) => {
                    self.timer.disarm();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::More) => {}
                Err(error) => return Poll::Ready(Some(Err(self.break_off(error)))),
            }
            if self.writer.queued() > 0
                && self.poll_flush(cx).map_err(|_| ()) == Poll::Ready(Err(()))
            {
                return Poll::Ready(Some(Err(BodyError::Incomplete)));
            }
            self.body.reserve(self.decoder.appetite(READ_MAX).max(512));
            match self.stream.poll_read(cx, &mut self.body) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                    return Poll::Ready(Some(Err(self.break_off(BodyError::Incomplete))));
                }
                Poll::Ready(Ok(_)) => self.timer.disarm(),
                Poll::Pending => {
                    self.timer.start(self.inlet.listener.settings.timeouts.body_idle);
                    if self.timer.poll(cx).is_ready() {
                        return Poll::Ready(Some(Err(self.break_off(BodyError::Timeout))));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// A body that can't be read to its end leaves the connection without a next request.
    fn break_off(&mut self, error: BodyError) -> BodyError {
        self.current.close = true;
        self.decoder = super::Decoder::Done;
        error
    }
}
