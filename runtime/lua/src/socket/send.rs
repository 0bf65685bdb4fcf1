//! Writing.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pilotlight_filter::Exchange;
use pilotlight_filter::host::Services;

use super::stream::{Stream, Wire};
use super::waiting::{Operation, Outcome, Patience, Settled, begin};
use super::words::{Failure, TIMEOUT};
use crate::wait::Waiter;

struct Send {
    data: Vec<u8>,
    sent: usize,
    patience: Patience,
}

/// Sends all of `data`.
pub(crate) fn send(
    stream: Rc<RefCell<Stream>>,
    data: Vec<u8>,
    timeout: Duration,
    services: Rc<dyn Services>,
) -> Result<Settled, Box<dyn Waiter>> {
    let patience = Patience::new(services, timeout);
    begin(stream, Send { data, sent: 0, patience }, None)
}

impl Send {
    fn poll_all(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        let socket = match &mut stream.wire {
            Wire::Link(link) => &mut link.socket,
            Wire::None | Wire::Body => {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            }
        };
        while self.sent < self.data.len() {
            match ready!(socket.poll_write(cx, &self.data[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => {
                    self.sent += taken;
                    self.patience.again();
                }
            }
        }
        socket.poll_flush(cx)
    }
}

impl Operation for Send {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        _: Option<&mut Exchange>,
    ) -> Poll<Settled> {
        let failure = match self.poll_all(cx, stream) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(Outcome::Sent(self.data.len()))),
            Poll::Ready(Err(error)) => Failure::system("send()", &error, &stream.name()),
            Poll::Pending => {
                ready!(self.patience.poll(cx));
                let line = format!("lua tcp socket write timed out{}", stream.name());
                Failure::new(TIMEOUT).line(line)
            }
        };
        stream.write_closed = true;
        Poll::Ready(Err(failure))
    }

    fn mark(stream: &mut Stream, busy: bool) {
        stream.writing = busy;
    }
}
