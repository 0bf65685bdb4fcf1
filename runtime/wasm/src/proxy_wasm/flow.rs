//! A filter at work on a connection without HTTP.
//!
//! ```text
//! flow ─▶ on_new_connection ─▶ on_downstream_data, on_upstream_data ─▶ on
//!                └─▶ pause               └─▶ pause: held, and shown again with what comes behind it
//! ```
//! As in Envoy a pause of the one does not keep the other from being called: what that lets through opens
//! the way. What is let go by `proxy_continue_stream` is not shown again.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_abi::Phase;
use pilotlight_abi::limit::FLOW_HELD;
use pilotlight_filter::{Chunk, Exchange, Fault, FaultKind, Verdict};

use super::abi::PAUSE;
use super::body;
use super::filter::{Ended, InExchange, Kind, Step};
use super::instance::Task;
use super::pool::Shared;

/// What passes, from the client and from the upstream.
#[derive(Default)]
pub(super) struct Passing {
    /// `proxy_on_new_connection` was called.
    begun: bool,
    ways: [Way; 2],
    /// The filter has failed: all goes through.
    broken: bool,
}

/// One direction.
#[derive(Default)]
struct Way {
    /// What has come since the last callback.
    fresh: Bytes,
    /// Nothing more will.
    ends: bool,
    /// The filter knows.
    told: bool,
    /// It holds back what it has seen.
    held: bool,
}

impl InExchange {
    /// Takes what has come in one direction and lets go of what may go on.
    pub(super) fn pass_on(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        side: usize,
        chunk: &mut Chunk,
    ) -> Poll<Result<Verdict, Fault>> {
        let passing = self.passing.get_or_insert_default();
        let way = &mut passing.ways[side];
        body::append(&mut way.fresh, std::mem::take(&mut chunk.data));
        way.ends |= std::mem::take(&mut chunk.last);
        let worked = match passing.broken {
            true => Ok(None),
            false => self.work(cx, exchange, side),
        };
        let Some(passing) = self.passing.as_deref_mut() else { return Poll::Pending };
        passing.broken |= worked.is_err();
        let way = &mut passing.ways[side];
        let stream = self.stream.as_deref_mut();
        if passing.broken {
            chunk.data = stream.map(|stream| stream.bodies[side].take()).unwrap_or_default();
            body::append(&mut chunk.data, std::mem::take(&mut way.fresh));
            chunk.last = way.ends;
            return Poll::Ready(worked.map(|_| Verdict::Continue));
        }
        if let Ok(Some(verdict)) = worked {
            return Poll::Ready(Ok(verdict));
        }
        let running = stream.is_none();
        let mut held = way.fresh.len();
        if let Some(stream) = stream {
            let body = &mut stream.bodies[side];
            chunk.data = if way.held { body.take_released() } else { body.take() };
            chunk.last = way.told && !way.held;
            held += body.bytes().len();
        }
        if let Some(flow) = &mut exchange.flow {
            flow.full[side] |= held as u64 >= FLOW_HELD;
        }
        match running || !passing.begun || passing.ways[side].held {
            true if chunk.data.is_empty() => Poll::Pending,
            _ => Poll::Ready(Ok(Verdict::Continue)),
        }
    }

    /// Calls the filter as often as there is reason to; a verdict ends the connection.
    fn work(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        side: usize,
    ) -> Result<Option<Verdict>, Fault> {
        loop {
            if self.go_on(cx, exchange).is_pending() {
                return Ok(None);
            }
            for place in 0..self.ended.len() {
                if let Some(Ended { answer, .. }) = self.ended[place].take() {
                    self.settle(place, answer?)?;
                }
            }
            self.resume();
            if let Some(verdict) = self.decided(exchange) {
                return Ok(Some(verdict));
            }
            let shared = self.hold()?;
            let Some(passing) = self.passing.as_deref_mut() else { return Ok(None) };
            let way = &mut passing.ways[side];
            let mail = self.stream.as_ref().and_then(|stream| stream.mail.clone());
            let has_mail = mail.as_ref().is_some_and(|mail| !mail.is_empty());
            if passing.begun && !has_mail && way.fresh.is_empty() && (way.told || !way.ends) {
                self.watch(cx, &shared);
                return Ok(None);
            }
            let Some(instance) = shared.take(cx) else { return Ok(None) };
            let event = mail.and_then(|mail| mail.take());
            let step = |phase, kind| Step { phase, last: true, kind };
            let (step, task) = if let Some(event) = event {
                (step(Phase::Request, Kind::Event), Task::Event(event))
            } else if !std::mem::replace(&mut passing.begun, true) {
                (step(Phase::Connect, Kind::Phase), Task::Phase(Phase::Connect, None))
            } else {
                let (data, last) = (std::mem::take(&mut way.fresh), way.ends);
                way.told = last;
                let phase = [Phase::RequestBody, Phase::ResponseBody][side];
                (step(phase, Kind::Phase), Task::Bytes { side, data, last, held: way.held })
            };
            self.stream.get_or_insert_default().flow.get_or_insert_default();
            self.run(exchange, instance, step, task);
        }
    }

    /// What a callback has answered; the last place is an event's, which answers nothing.
    fn settle(&mut self, side: usize, action: u32) -> Result<(), Fault> {
        let (Some(passing), Some(stream)) = (self.passing.as_deref_mut(), self.stream.as_deref())
        else {
            return Ok(());
        };
        let Some(way) = passing.ways.get_mut(side) else { return Ok(()) };
        way.held = action == PAUSE;
        if way.held && !stream.bodies[side].fits() {
            let name = &self.pool.program.name;
            let text = format!("{name}: it holds back more of a connection than a filter may");
            return Err(Fault::new(FaultKind::Output, text));
        }
        Ok(())
    }

    /// Directions that were resumed are held no more, and what is not held is out of the filter's hands.
    fn resume(&mut self) {
        let (Some(passing), Some(stream)) =
            (self.passing.as_deref_mut(), self.stream.as_deref_mut())
        else {
            return;
        };
        for (side, way) in passing.ways.iter_mut().enumerate() {
            let mail = stream.mail.as_ref();
            let by_others = mail.is_some_and(|mail| mail.take_resumed(side));
            if std::mem::take(&mut stream.resumed[side]) || by_others {
                way.held = false;
            }
        }
        stream.flow = Some([passing.ways[0].held, passing.ways[1].held]);
    }

    /// The instance of this connection, which can't go on in another.
    fn hold(&mut self) -> Result<Rc<Shared>, Fault> {
        let shared = match &self.shared {
            Some(shared) => Rc::clone(shared),
            None => self.pool.shared()?,
        };
        if shared.is_dead() {
            let name = &self.pool.program.name;
            let text = format!("{name}: its instance trapped in another connection");
            return Err(shared.failed().unwrap_or_else(|| Fault::new(FaultKind::Trap, text)));
        }
        self.shared = Some(Rc::clone(&shared));
        Ok(shared)
    }
}
