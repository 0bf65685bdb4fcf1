//! TLS over a connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pilotlight_filter::Exchange;
use pilotlight_filter::host::socket::{Secured, StartTls, TlsFailure, TlsSession};
use pilotlight_filter::host::{Services, Wait};

use super::link::{Link, Open};
use super::stream::{Stream, Wire};
use super::waiting::{Operation, Outcome, Patience, Settled, begin};
use super::words::{CLOSED, Failure, TIMEOUT};
use crate::token::Tokens;
use crate::wait::Waiter;

struct Handshake {
    wait: Wait<Result<Secured, TlsFailure>>,
    /// The link that it is for, but its socket.
    rest: Option<(Rc<str>, u32, Open)>,
    /// Where the session goes, if the script wants it.
    tokens: Option<Rc<Tokens>>,
    patience: Patience,
}

/// Goes on by TLS. Where that is so already it stays so; a session that was to be reused is not
/// given anew then.
pub(crate) fn handshake(
    stream: Rc<RefCell<Stream>>,
    tls: StartTls,
    tokens: Option<Rc<Tokens>>,
    timeout: Duration,
    services: Rc<dyn Services>,
) -> Result<Settled, Box<dyn Waiter>> {
    let wire = std::mem::replace(&mut stream.borrow_mut().wire, Wire::None);
    let link = match wire {
        Wire::Link(link) => link,
        other => {
            stream.borrow_mut().wire = other;
            return Ok(Err(Failure::new(CLOSED)));
        }
    };
    if let Some(session) = link.session.clone() {
        stream.borrow_mut().wire = Wire::Link(link);
        let tokens = tokens.filter(|_| tls.session.is_none());
        return Ok(Ok(outcome(tokens.as_deref(), session)));
    }
    let Link { socket, name, reused, open, .. } = link;
    let operation = Handshake {
        wait: socket.start_tls(tls),
        rest: Some((name, reused, open)),
        tokens,
        patience: Patience::new(services, timeout),
    };
    begin(stream, operation, None)
}

/// The session's number, where there is room for it.
fn outcome(tokens: Option<&Tokens>, session: TlsSession) -> Outcome {
    tokens.and_then(|tokens| tokens.keep(session)).map_or(Outcome::Done, Outcome::Session)
}

impl Handshake {
    fn name(&self) -> &str {
        self.rest.as_ref().map_or("", |(name, ..)| name)
    }
}

impl Operation for Handshake {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        _: Option<&mut Exchange>,
    ) -> Poll<Settled> {
        let failure = match self.wait.as_mut().poll(cx) {
            Poll::Ready(Ok(Secured { socket, session })) => {
                if let Some((name, reused, open)) = self.rest.take() {
                    let session = Some(session.clone());
                    stream.wire = Wire::Link(Link { socket, name, reused, session, open });
                }
                return Poll::Ready(Ok(outcome(self.tokens.as_deref(), session)));
            }
            Poll::Ready(Err(TlsFailure { code, message, line })) => {
                let line = format!("{line}{}", self.name());
                match code {
                    0 => Failure::new(message).line(line),
                    code => Failure::new(format!("{code}: {message}")).line(line),
                }
            }
            Poll::Pending => {
                ready!(self.patience.poll(cx));
                Failure::new(TIMEOUT)
            }
        };
        stream.shut();
        Poll::Ready(Err(failure))
    }

    fn mark(stream: &mut Stream, busy: bool) {
        stream.connecting = busy;
    }
}
