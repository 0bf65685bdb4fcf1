//! The request's body on its way: out of its source, through the filters, to the upstream.

use std::task::{Context, Poll, ready};

use pilotlight_abi::Phase;
use pilotlight_filter::{BodyError, Chain, Exchange, Filtered, Observer, Passed, Stopped};

use crate::codec::HIGH_WATER;
use crate::upstream::{Outbound, UpstreamError};

/// Pumps until the request has been sent whole.
pub(crate) struct Pump {
    pub(crate) out: Outbound,
    body: Filtered,
    state: State,
    /// Bytes have left for the upstream.
    pub(crate) begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pull,
    Flush,
    Done,
}

/// Why a request could not be sent whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PumpError {
    Client(BodyError),
    Upstream(UpstreamError),
    Filter,
    /// A filter answered instead: the response stands in the exchange.
    Replied,
    /// A filter broke the exchange off.
    Closed,
}

impl PumpError {
    /// A walk through the chain that did not end with its last filter.
    pub(super) fn stopped(passed: Passed) -> Option<PumpError> {
        match passed {
            Passed::Through => None,
            Passed::Replied => Some(PumpError::Replied),
            // Only the request phase sends a request elsewhere.
            Passed::Failed | Passed::Rerouted => Some(PumpError::Filter),
            Passed::Closed => Some(PumpError::Closed),
        }
    }
}

impl From<Stopped> for PumpError {
    fn from(stopped: Stopped) -> PumpError {
        match stopped {
            Stopped::Body(error) => PumpError::Client(error),
            Stopped::By(passed) => PumpError::stopped(passed).unwrap_or(PumpError::Filter),
        }
    }
}

impl Pump {
    /// A pump for a request whose head is queued.
    pub(crate) fn new(out: Outbound) -> Pump {
        Pump { out, body: Filtered::default(), state: State::Pull, begun: false }
    }

    /// Whether the request is out.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn is_pulling(&self) -> bool {
        self.state == State::Pull
    }

    /// Moves what can be moved; ready when all is sent.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        chain: &mut Chain,
        observer: &dyn Observer,
    ) -> Poll<Result<(), PumpError>> {
        if exchange.request.body.is_done() && !chain.wants(Phase::RequestBody) && self.is_pulling()
        {
            // Most requests have no body.
            self.out.finish(None);
            self.state = State::Flush;
        }
        while self.is_pulling() {
            if !self.body.is_held() && self.out.queued() >= HIGH_WATER {
                ready!(self.poll_flush(cx))?;
            }
            match self.body.poll_data(cx, exchange, chain, observer) {
                // What a filter holds may end in an answer of its own: till then nothing leaves.
                Poll::Pending if self.body.is_held() => return Poll::Pending,
                Poll::Pending => {
                    ready!(self.poll_flush(cx))?;
                    return Poll::Pending;
                }
                Poll::Ready(Err(stopped)) => return Poll::Ready(Err(stopped.into())),
                Poll::Ready(Ok(Some(data))) => self.out.data(data),
                Poll::Ready(Ok(None)) => {
                    self.out.finish(exchange.request.body.take_trailers().as_ref());
                    self.state = State::Flush;
                }
            }
        }
        if self.state == State::Flush {
            ready!(self.poll_flush(cx))?;
            self.state = State::Done;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        ready!(self.out.poll_flush(cx)).map_err(PumpError::Upstream)?;
        self.begun = true;
        Poll::Ready(Ok(()))
    }
}
