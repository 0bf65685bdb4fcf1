//! An operation on a socket: done at once where it can be, else waited for.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pilotlight_filter::Exchange;
use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{Services, Wait};

use super::stream::Stream;
use super::words::Failure;
use crate::wait::{Answer, Waiter};

/// How an operation ended.
pub(crate) type Settled = Result<Outcome, Failure>;

/// What it brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done: 1.
    Done,
    /// Bytes that were sent.
    Sent(usize),
    /// Bytes that came, and whether they end at the text that they go up to.
    Data(Vec<u8>, bool),
    /// The number of a session that is kept.
    Session(u32),
}

/// The script's results: value, why there is none, what came before, a line for the log. With bytes
/// the third says whether they end at their text, with a session's number it is true.
pub(crate) fn results(settled: Settled) -> Vec<Value> {
    match settled {
        Ok(Outcome::Done) => vec![Value::Int(1)],
        Ok(Outcome::Sent(bytes)) => vec![Value::Int(bytes as i64)],
        Ok(Outcome::Session(number)) => {
            vec![Value::Int(i64::from(number)), Value::Nil, Value::Bool(true)]
        }
        Ok(Outcome::Data(bytes, false)) => vec![Value::Bytes(bytes)],
        Ok(Outcome::Data(bytes, true)) => {
            vec![Value::Bytes(bytes), Value::Nil, Value::Bool(true)]
        }
        Err(Failure { why, partial, line }) => {
            let text = |text: String| Value::Bytes(text.into_bytes());
            let partial = partial.map_or(Value::Nil, Value::Bytes);
            vec![Value::Nil, text(why), partial, line.map_or(Value::Nil, text)]
        }
    }
}

/// An operation.
pub(crate) trait Operation: 'static {
    /// Goes on with it.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        exchange: Option<&mut Exchange>,
    ) -> Poll<Settled>;

    /// Whether the stream is busy with it.
    fn mark(stream: &mut Stream, busy: bool);
}

/// An operation that a script waits for. Dropping it closes its socket: half of it is done.
struct Waiting<T: Operation> {
    stream: Rc<RefCell<Stream>>,
    operation: Option<T>,
}

/// Does an operation, or begins it: then what is to be waited for is the other.
pub(crate) fn begin<T: Operation>(
    stream: Rc<RefCell<Stream>>,
    mut operation: T,
    exchange: Option<&mut Exchange>,
) -> Result<Settled, Box<dyn Waiter>> {
    let mut cx = Context::from_waker(Waker::noop());
    let polled = operation.poll(&mut cx, &mut stream.borrow_mut(), exchange);
    match polled {
        Poll::Ready(settled) => Ok(settled),
        Poll::Pending => {
            T::mark(&mut stream.borrow_mut(), true);
            Err(Box::new(Waiting { stream, operation: Some(operation) }))
        }
    }
}

impl<T: Operation> Waiter for Waiting<T> {
    fn poll(&mut self, cx: &mut Context<'_>, exchange: Option<&mut Exchange>) -> Poll<Answer> {
        let Some(operation) = &mut self.operation else { return Poll::Ready(Answer::Nothing) };
        let mut stream = self.stream.borrow_mut();
        let settled = ready!(operation.poll(cx, &mut stream, exchange));
        T::mark(&mut stream, false);
        self.operation = None;
        Poll::Ready(Answer::Values(results(settled)))
    }
}

impl<T: Operation> Drop for Waiting<T> {
    fn drop(&mut self) {
        if self.operation.take().is_some() {
            self.stream.borrow_mut().shut();
        }
    }
}

/// How long an operation may wait. It starts when there is something to wait for.
pub(crate) struct Patience {
    services: Rc<dyn Services>,
    limit: Duration,
    sleep: Option<Wait<()>>,
}

impl Patience {
    pub(crate) fn new(services: Rc<dyn Services>, limit: Duration) -> Patience {
        Patience { services, limit, sleep: None }
    }

    /// Starts anew.
    pub(crate) fn again(&mut self) {
        self.sleep = None;
    }

    /// Ready when it is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| self.services.sleep(self.limit));
        sleep.as_mut().poll(cx)
    }
}
