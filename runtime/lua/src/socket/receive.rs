//! Reading.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_filter::Exchange;
use pilotlight_filter::host::Services;

use super::input::{Reading, Want};
use super::stream::Stream;
use super::waiting::{Operation, Outcome, Patience, Settled, begin};
use super::words::{CLOSED, Failure, TIMEOUT};
use crate::wait::Waiter;

/// Bytes after which a worker's other work has its turn, whatever the peer still has. The event loop
/// looks at the network after 61 such turns.
const TURN: usize = 64 * 1024;

/// What a read may take.
pub(crate) struct Limits {
    /// Of one wait.
    pub(crate) timeout: Duration,
    /// Bytes to ask the system for at a time.
    pub(crate) buffer: usize,
    /// Bytes at all.
    pub(crate) most: usize,
}

struct Receive {
    reading: Reading,
    patience: Patience,
    buffer: usize,
    most: usize,
}

/// Reads what is wanted.
pub(crate) fn receive(
    stream: Rc<RefCell<Stream>>,
    want: Want,
    limits: &Limits,
    services: Rc<dyn Services>,
    exchange: Option<&mut Exchange>,
) -> Result<Settled, Box<dyn Waiter>> {
    let operation = Receive {
        reading: Reading::new(want),
        patience: Patience::new(services, limits.timeout),
        buffer: limits.buffer.max(1),
        most: limits.most,
    };
    begin(stream, operation, exchange)
}

impl Receive {
    /// The peer has ended.
    fn end(&mut self, stream: &mut Stream) -> Settled {
        let rest = self.reading.rest(&mut stream.input);
        if self.reading.ends_with_peer() {
            return Ok(Outcome::Data(rest, false));
        }
        stream.close_reading();
        Err(Failure::new(CLOSED).partial(rest))
    }
}

impl Operation for Receive {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        mut exchange: Option<&mut Exchange>,
    ) -> Poll<Settled> {
        let before = stream.input.unread().len();
        loop {
            if let Some(data) = self.reading.take(&mut stream.input) {
                return Poll::Ready(Ok(Outcome::Data(data.bytes, data.at_text)));
            }
            if stream.ended {
                return Poll::Ready(self.end(stream));
            }
            if stream.input.unread().len() >= self.most {
                stream.close_reading();
                return Poll::Ready(Err(Failure::new("too large")));
            }
            if stream.input.unread().len() >= before + TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let chunk = self.reading.chunk(&stream.input, self.buffer);
            match stream.poll_fill(cx, exchange.as_deref_mut(), chunk) {
                Poll::Ready(Ok(more)) => {
                    stream.ended = !more;
                    self.patience.again();
                }
                Poll::Ready(Err(failure)) => {
                    let rest = self.reading.rest(&mut stream.input);
                    stream.close_reading();
                    return Poll::Ready(Err(failure.partial(rest)));
                }
                Poll::Pending => break,
            }
        }
        if self.patience.poll(cx).is_pending() {
            return Poll::Pending;
        }
        // The socket stays as it is: what comes later can still be read.
        let rest = self.reading.rest(&mut stream.input);
        let line = format!("lua tcp socket read timed out{}", stream.name());
        Poll::Ready(Err(Failure::new(TIMEOUT).line(line).partial(rest)))
    }

    fn mark(stream: &mut Stream, busy: bool) {
        stream.reading = busy;
    }
}
