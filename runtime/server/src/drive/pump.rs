//! The request's body on its way: out of its source, through the filters, to the upstream.

use std::task::{Context, Poll, ready};

use pilotlight_abi::Phase;
use pilotlight_filter::{BodyError, Chain, Chunk, Exchange, Frame, Observer, Passed};

use crate::codec::HIGH_WATER;
use crate::upstream::{Outbound, UpstreamError};

/// Pumps until the request has been sent whole.
pub(crate) struct Pump {
    pub(crate) out: Outbound,
    state: State,
    /// Bytes have left for the upstream.
    pub(crate) begun: bool,
}

enum State {
    Pull,
    /// A chunk is with the filters.
    Filter(Chunk),
    /// The trailers are.
    Trailers,
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

impl Pump {
    /// A pump for a request whose head is queued.
    pub(crate) fn new(out: Outbound) -> Pump {
        Pump { out, state: State::Pull, begun: false }
    }

    /// Whether the request is out.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Moves what can be moved; ready when all is sent.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        chain: &mut Chain,
        observer: &dyn Observer,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            match &mut self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::Flush => {
                    ready!(self.out.poll_flush(cx)).map_err(PumpError::Upstream)?;
                    self.begun = true;
                    self.state = State::Done;
                }
                State::Filter(chunk) => {
                    let phase = Phase::RequestBody;
                    let passed = ready!(chain.poll(cx, phase, exchange, Some(chunk), observer));
                    if let Some(stopped) = PumpError::stopped(passed) {
                        return Poll::Ready(Err(stopped));
                    }
                    let chunk = std::mem::take(chunk);
                    self.out.data(chunk.data);
                    self.state = if chunk.last { State::Trailers } else { State::Pull };
                }
                State::Trailers => {
                    if exchange.request.body.trailers().is_some()
                        && chain.wants(Phase::RequestTrailers)
                    {
                        let phase = Phase::RequestTrailers;
                        let passed = ready!(chain.poll(cx, phase, exchange, None, observer));
                        if let Some(stopped) = PumpError::stopped(passed) {
                            return Poll::Ready(Err(stopped));
                        }
                    }
                    self.out.finish(exchange.request.body.take_trailers().as_ref());
                    self.state = State::Flush;
                }
                State::Pull => {
                    if self.out.queued() >= HIGH_WATER {
                        ready!(self.out.poll_flush(cx)).map_err(PumpError::Upstream)?;
                        self.begun = true;
                    }
                    let Poll::Ready(frame) = exchange.request.body.poll_frame(cx) else {
                        ready!(self.out.poll_flush(cx)).map_err(PumpError::Upstream)?;
                        self.begun = true;
                        return Poll::Pending;
                    };
                    let filtered = chain.wants(Phase::RequestBody);
                    match frame {
                        Some(Ok(Frame::Data(data))) if filtered => {
                            self.state = State::Filter(Chunk { data, last: false });
                        }
                        Some(Ok(Frame::Data(data))) => self.out.data(data),
                        Some(Ok(Frame::Trailers(trailers))) => {
                            exchange.request.body.set_trailers(trailers);
                            self.end(filtered);
                        }
                        None => self.end(filtered),
                        Some(Err(error)) => return Poll::Ready(Err(PumpError::Client(error))),
                    }
                }
            }
        }
    }

    fn end(&mut self, filtered: bool) {
        self.state = match filtered {
            true => State::Filter(Chunk { last: true, ..Chunk::default() }),
            false => State::Trailers,
        };
    }
}
