//! Bytes of a connection without HTTP on their way through the filters.

use std::task::{Context, Poll};

use pilotlight_abi::Phase;

use super::{Chain, Observer, Passed};
use crate::exchange::Exchange;
use crate::filter::{Chunk, OnError, Verdict};
use crate::flow::Side;

impl Chain {
    /// Hands bytes from filter to filter; what is left in `chunk` is what has come out. It may be asked
    /// with nothing: filters that were woken let go of what they held. Pending: not all filters have let
    /// the connection through yet.
    pub fn flow(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        from: Side,
        chunk: &mut Chunk,
        observer: &dyn Observer,
    ) -> Poll<Passed> {
        if let Some(flow) = &mut exchange.flow {
            flow.full[from as usize] = false;
        }
        let count = self.links.len();
        for step in 0..count {
            let index = if from == Side::Client { step } else { count - 1 - step };
            self.begun = self.begun.max(index + 1);
            let (is_open, is_empty) = (index < self.passed, chunk.data.is_empty() && !chunk.last);
            let phase = match from {
                Side::Client if is_empty => Phase::Connect,
                Side::Client => Phase::RequestBody,
                Side::Upstream => Phase::ResponseBody,
            };
            observer.enter(index, phase);
            let link = &mut self.links[index];
            let polled = link.filter.flow(cx, exchange, from, chunk);
            let fault = match &polled {
                Poll::Ready(Err(fault)) => Some(fault),
                _ => None,
            };
            // A look that finds nothing is not worth a figure.
            if fault.is_some() || !is_empty || !is_open {
                observer.leave(index, phase, exchange, fault);
            }
            match polled {
                Poll::Pending if !is_open => return Poll::Pending,
                Poll::Ready(Ok(Verdict::Close)) => return Poll::Ready(Passed::Closed),
                Poll::Ready(Err(_)) if link.on_error == OnError::Close => {
                    return Poll::Ready(Passed::Failed);
                }
                // Those behind it may have something to let go of.
                Poll::Pending | Poll::Ready(_) => {}
            }
            self.passed = self.passed.max(index + 1);
        }
        Poll::Ready(Passed::Through)
    }
}
