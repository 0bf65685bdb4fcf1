//! A request's body as it comes out of the filters, whoever takes it then.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pilotlight_abi::Phase;

use super::{Chain, Observer, Passed};
use crate::body::{BodyError, Frame};
use crate::exchange::{Exchange, Origin};
use crate::filter::Chunk;

/// Takes the body of an exchange's request through its chain. Nothing is read ahead.
#[derive(Default)]
pub struct Filtered {
    stage: Stage,
    /// The walk under way began before there was a response: one of a filter is its own answer.
    is_first: bool,
}

#[derive(Default)]
enum Stage {
    #[default]
    Pull,
    /// A chunk is with the filters.
    Filter(Chunk),
    /// The trailers are.
    Trailers,
    Done,
}

/// Why there is no more of a body though it has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It broke off.
    Body(BodyError),
    /// The walk through the chain did not end with its last filter.
    By(Passed),
}

impl Filtered {
    /// The next bytes, never none; `None` at the end: then the trailers stand in the body.
    #[inline]
    pub fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        chain: &mut Chain,
        observer: &dyn Observer,
    ) -> Poll<Result<Option<Bytes>, Stopped>> {
        loop {
            match &mut self.stage {
                Stage::Done => return Poll::Ready(Ok(None)),
                Stage::Pull => {
                    let filtered = chain.wants(Phase::RequestBody);
                    match ready!(exchange.request.body.poll_frame(cx)) {
                        Some(Ok(Frame::Data(data))) if filtered => {
                            self.stage = Stage::Filter(Chunk { data, last: false });
                        }
                        Some(Ok(Frame::Data(data))) => return Poll::Ready(Ok(Some(data))),
                        Some(Ok(Frame::Trailers(trailers))) => {
                            exchange.request.body.set_trailers(trailers);
                            self.end(filtered);
                        }
                        None => self.end(filtered),
                        Some(Err(error)) => return Poll::Ready(Err(Stopped::Body(error))),
                    }
                }
                Stage::Filter(chunk) => {
                    let phase = Phase::RequestBody;
                    ready!(walk(
                        cx,
                        phase,
                        exchange,
                        Some(chunk),
                        chain,
                        observer,
                        &mut self.is_first
                    ))?;
                    let chunk = std::mem::take(chunk);
                    self.stage = if chunk.last { Stage::Trailers } else { Stage::Pull };
                    if !chunk.data.is_empty() {
                        return Poll::Ready(Ok(Some(chunk.data)));
                    }
                }
                Stage::Trailers => {
                    let phase = Phase::RequestTrailers;
                    if exchange.request.body.trailers().is_some() && chain.wants(phase) {
                        ready!(walk(
                            cx,
                            phase,
                            exchange,
                            None,
                            chain,
                            observer,
                            &mut self.is_first
                        ))?;
                    }
                    self.stage = Stage::Done;
                }
            }
        }
    }

    /// Whether a filter has what was taken last.
    pub fn is_held(&self) -> bool {
        matches!(self.stage, Stage::Filter(_) | Stage::Trailers)
    }

    fn end(&mut self, filtered: bool) {
        self.stage = match filtered {
            true => Stage::Filter(Chunk { last: true, ..Chunk::default() }),
            false => Stage::Trailers,
        };
    }
}

/// Walks a phase of the request. A response that has begun by then is out of the filters' reach: an
/// answer of theirs comes too late for more than to break it off. Never inlined: most bodies meet no filter.
#[inline(never)]
fn walk(
    cx: &mut Context<'_>,
    phase: Phase,
    exchange: &mut Exchange,
    chunk: Option<&mut Chunk>,
    chain: &mut Chain,
    observer: &dyn Observer,
    is_first: &mut bool,
) -> Poll<Result<(), Stopped>> {
    // A filter may be interrupted between its answer and its saying so.
    *is_first = match exchange.response.origin {
        None => true,
        Some(origin) => *is_first && origin == Origin::Filter,
    };
    let begun = !*is_first;
    let response = begun.then(|| std::mem::take(&mut exchange.response));
    let polled = chain.poll(cx, phase, exchange, chunk, observer);
    if let Some(response) = response {
        exchange.response = response;
    }
    *is_first &= polled.is_pending();
    polled.map(|passed| match passed {
        Passed::Through => Ok(()),
        Passed::Replied if begun => Err(Stopped::By(Passed::Closed)),
        stopped => Err(Stopped::By(stopped)),
    })
}
