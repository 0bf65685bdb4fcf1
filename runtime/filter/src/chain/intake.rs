//! The request's body on its way to the route's own script, which stands behind the filters and takes
//! it as an upstream would: as they have made it.

use std::mem::{replace, swap};
use std::task::{Context, Poll, ready};

use pilotlight_abi::{Phase, Phases};

use super::filtered::{Filtered, Stopped};
use super::{Chain, Observer, Passed};
use crate::body::{Body, BodyError, Frame, Pipe};
use crate::exchange::Exchange;

/// What lies between the client's body and the one that the script sees.
#[derive(Default)]
pub(super) struct Intake {
    /// The client's body; while filters work on it, the script's.
    other: Body,
    filtered: Filtered,
    /// Where frames go as the script asks for them; without it the whole body passes before its turn.
    pipe: Option<Pipe>,
}

impl Chain {
    /// Has the filters work on a body that is here, or stand by for one that is still to come. Polled
    /// until ready, before the script has its turn.
    pub(super) fn take_in(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        observer: &dyn Observer,
    ) -> Poll<Passed> {
        if self.intake.is_none() && self.works_on_bodies() {
            let (pipe, body) = match exchange.request.body.is_streaming() {
                true => Some(Pipe::new(None)).unzip(),
                false => (None, None),
            };
            let other = replace(&mut exchange.request.body, body.unwrap_or_else(Body::empty));
            self.intake = Some(Box::new(Intake { other, pipe, ..Intake::default() }));
        }
        while self.intake.as_ref().is_some_and(|intake| intake.pipe.is_none()) {
            match ready!(self.poll_intake(cx, exchange, observer)) {
                Ok(Some(Frame::Data(data))) => exchange.request.body.append(data),
                Ok(end) => {
                    if let Some(Frame::Trailers(trailers)) = end {
                        exchange.request.body.set_trailers(trailers);
                    }
                    break;
                }
                Err(Stopped::By(stopped)) => return Poll::Ready(stopped),
                // What is here has not broken off.
                Err(Stopped::Body(_)) => return Poll::Ready(Passed::Failed),
            }
        }
        Poll::Ready(Passed::Through)
    }

    /// Whether a filter before the script wants the request's body.
    fn works_on_bodies(&self) -> bool {
        let wants =
            |phases: Phases| phases.has(Phase::RequestBody) || phases.has(Phase::RequestTrailers);
        let before = self.target.unwrap_or_default();
        wants(self.wanted) && self.links[..before].iter().any(|link| wants(link.phases))
    }

    /// Gives the script what it waits for. `None`: that is nothing, or has not come.
    pub(super) fn supply(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        observer: &dyn Observer,
    ) -> Option<Passed> {
        let is_wanted = |intake: &Intake| intake.pipe.as_ref().is_some_and(Pipe::is_wanted);
        if !self.intake.as_deref().is_some_and(is_wanted) {
            return None;
        }
        let Poll::Ready(came) = self.poll_intake(cx, exchange, observer) else { return None };
        let pipe = self.intake.as_ref()?.pipe.as_ref()?;
        match came {
            Ok(frame) => pipe.put(frame.map(Ok)),
            Err(Stopped::Body(error)) => pipe.put(Some(Err(error))),
            Err(Stopped::By(stopped)) => {
                pipe.put(Some(Err(BodyError::Filter)));
                return Some(stopped);
            }
        }
        Some(Passed::Through)
    }

    fn poll_intake(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        observer: &dyn Observer,
    ) -> Poll<Result<Option<Frame>, Stopped>> {
        let Some(mut intake) = self.intake.take() else { return Poll::Ready(Ok(None)) };
        swap(&mut intake.other, &mut exchange.request.body);
        let polled = intake.filtered.poll_data(cx, exchange, self, observer);
        swap(&mut intake.other, &mut exchange.request.body);
        let frame = polled.map_ok(|data| match data {
            Some(data) => Some(Frame::Data(data)),
            None => intake.other.take_trailers().map(Frame::Trailers),
        });
        self.intake = Some(intake);
        frame
    }

    /// Bytes of the request's body that have come from the client.
    pub fn received(&self, exchange: &Exchange) -> u64 {
        let body = self.intake.as_ref().map_or(&exchange.request.body, |intake| &intake.other);
        body.received()
    }

    /// Puts the request's body back as it was, for another chain to begin with. What the script has
    /// read whole stays as it is; what it has read in part is lost.
    pub fn give_back(&mut self, exchange: &mut Exchange) {
        let Some(intake) = self.intake.take() else { return };
        if intake.other.is_untouched() {
            exchange.request.body = intake.other;
        } else if !exchange.request.body.is_at_rest() {
            exchange.request.body = Body::empty();
        }
    }
}
