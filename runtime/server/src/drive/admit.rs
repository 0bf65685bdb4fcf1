//! Gates on an exchange's way: before its route, and before its upstream.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use pilotlight_core::admission::{End, Shed};
use pilotlight_filter::Exchange;
use pilotlight_filter::host::Level;

use super::pump::PumpError;
use super::turn::Turn;
use super::{Left, Reached, TOO_LATE};
use crate::admission::{At, Entry, Gate, Place};
use crate::answer::Problem;
use crate::codec::Downstream;

const OVERLOADED: Problem =
    Problem::new(503, "overloaded: try again later").proxy("http_request_denied");

/// An exchange that was not let in at once.
pub(super) struct Held {
    at: At,
    gate: Arc<Gate>,
    entry: Entry,
}

/// Why one that stood in a queue is not let in.
enum Out {
    Shed(Shed),
    /// Its time is over.
    Late,
    /// A filter has had enough.
    Stopped(PumpError),
}

impl Turn<'_> {
    /// Comes to where a gate may stand; `None`: it goes on.
    #[inline]
    pub(super) fn knock(&mut self, exchange: &Exchange, at: At, index: usize) -> Option<Box<Held>> {
        let gate = self.local.generation.gates.at(at, index)?.clone();
        // A subrequest is part of its parent, which is on a route already.
        if at == At::Route && exchange.parent.is_some() { None } else { self.ring(at, gate) }
    }

    #[cold]
    fn ring(&mut self, at: At, gate: Arc<Gate>) -> Option<Box<Held>> {
        let routes = &self.local.generation.manifest.routes;
        let priority = self.route().map(|route| routes[route].priority).unwrap_or_default();
        let pass = &mut self.passes.get_or_insert_default()[at as usize];
        // The retry of a request is let in as that is.
        if pass.as_ref().is_some_and(|pass| pass.is_of(&gate)) {
            return None;
        }
        *pass = None;
        match gate.enter(priority) {
            Entry::In(leave) => {
                *pass = Some(leave);
                None
            }
            entry => Some(Box::new(Held { at, gate, entry })),
        }
    }

    /// Waits at a gate, or is sent away; `None`: it goes on.
    pub(super) async fn held_up(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        held: Box<Held>,
    ) -> Result<Option<Reached>, Left> {
        let Held { at, gate, entry } = *held;
        let out = match entry {
            Entry::In(_) => return Ok(None),
            Entry::Shed(shed) => Out::Shed(shed),
            Entry::Wait(place) => match self.stand(exchange, down, at, place).await? {
                Ok(()) => return Ok(None),
                Err(out) => out,
            },
        };
        // Who gets no further says nothing of how busy what lies behind is.
        self.learn(End::Other);
        match out {
            Out::Late => Ok(Some(self.fail(exchange, TOO_LATE))),
            Out::Stopped(stopped) => self.broke(exchange, stopped).map(Some),
            Out::Shed(shed) => {
                self.tell_shed(at, &gate, shed);
                let retry_after = u32::try_from(shed.retry_after).ok();
                Ok(Some(self.fail(exchange, Problem { retry_after, ..OVERLOADED })))
            }
        }
    }

    async fn stand(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        at: At,
        mut place: Place,
    ) -> Result<Result<(), Out>, Left> {
        let waited = poll_fn(|cx| {
            let late = place.look();
            if let Poll::Ready(told) = place.poll(cx) {
                return Poll::Ready(Ok(told.map_err(Out::Shed)));
            }
            if self.deadline.is_some_and(|deadline| self.inlet.worker.clock.millis() >= deadline) {
                return Poll::Ready(Ok(Err(Out::Late)));
            }
            self.timer.arm_at(self.deadline.map_or(late, |deadline| deadline.min(late)));
            let _ = self.timer.poll(cx);
            if let Some(stopped) = self.aside(cx, exchange).and_then(PumpError::stopped) {
                return Poll::Ready(Ok(Err(Out::Stopped(stopped))));
            }
            if down.queued() > 0 {
                let _ = down.poll_flush(cx);
            }
            down.poll_gone(cx).map(|()| Err(Left))
        });
        let waited = waited.await?;
        self.limit(None);
        let passes = self.passes.get_or_insert_default();
        Ok(waited.map(|pass| passes[at as usize] = Some(pass)))
    }

    #[cold]
    fn tell_shed(&self, at: At, gate: &Gate, shed: Shed) {
        let worker = &self.inlet.worker;
        let index = match at {
            At::Route => self.route(),
            At::Upstream => self.upstream,
        };
        worker.metrics.shed(&self.local.generation.series, at, index, shed.why);
        if shed.first {
            let limit = gate.figures().limit.to_string();
            let fields = [(at.name(), &*gate.name), ("reason", shed.why.name()), ("limit", &limit)];
            worker.log.event(Level::Warn, "overloaded", &fields);
        }
    }

    /// A response stands in the exchange: the gates learn how long that took.
    #[inline]
    pub(super) fn answered(&mut self, exchange: &Exchange) {
        if self.passes.is_some() {
            self.learn(end(exchange.response.head.status));
        }
    }

    /// The exchange has come to this end.
    #[cold]
    pub(super) fn learn(&mut self, end: End) {
        let passes = self.passes.iter_mut().flat_map(|passes| passes.iter_mut());
        passes.flatten().for_each(|pass| pass.ended(end));
    }
}

/// What an answer says of how busy those are that it comes from. Failures and refusals are quick, and say
/// nothing.
fn end(status: u16) -> End {
    match status {
        100..400 => End::Answered,
        503 | 504 => End::Overloaded,
        _ => End::Other,
    }
}
