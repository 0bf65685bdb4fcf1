//! A filter at work on one exchange.
//!
//! ```text
//! poll ─▶ take the instance ─▶ callback ─▶ go on
//!              ▲                  └─▶ pause ─▶ events, resumption ─▶ go on
//! ```
//! Short calls run inline: the instance is always there. Those that may take long run on a fiber, and
//! other exchanges wait for the instance meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pilotlight_abi::Phase;
use pilotlight_filter::{Call, Chunk, Exchange, Fault, FaultKind, Filter, Side, Verdict};

use super::context::Stream;
use super::flow::Passing;
use super::instance::{Instanced, Task};
use super::pause::Paused;
use super::pool::{Pool, Shared};
use crate::stage::Stage;
use crate::vm;

/// A filter of one exchange.
pub(super) struct InExchange {
    pub(super) pool: Rc<Pool>,
    pub(super) shared: Option<Rc<Shared>>,
    /// It is with the job while there is one.
    pub(super) stream: Option<Box<Stream>>,
    pub(super) job: Option<Box<Running>>,
    /// What ended, by direction, and has not been looked at; the last is an event's.
    pub(super) ended: [Option<Ended>; 3],
    /// What passes over a connection without HTTP.
    pub(super) passing: Option<Box<Passing>>,
    /// Nobody polls it any more: it only ends its context.
    pub(super) resting: bool,
}

/// A call on a fiber.
pub(super) struct Running {
    pub(super) step: Step,
    pub(super) stage: Stage,
    pub(super) job: Pin<Box<dyn Future<Output = Ran>>>,
}

pub(super) struct Ran {
    pub(super) instance: Box<Instanced>,
    pub(super) stream: Box<Stream>,
    pub(super) answer: Result<u32, Fault>,
}

/// What a call is for.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) phase: Phase,
    pub(super) last: bool,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Phase,
    /// A piece of a body, while the head waits.
    Pulled,
    Event,
}

pub(super) struct Ended {
    pub(super) step: Step,
    pub(super) answer: Result<u32, Fault>,
}

impl Step {
    /// Where its end is kept.
    fn place(self) -> usize {
        match self.kind {
            Kind::Event => 2,
            _ => usize::from(self.phase.is_response()),
        }
    }
}

/// A filter for a new exchange.
pub(crate) fn start(pool: &Rc<Pool>) -> Box<dyn Filter> {
    Box::new(InExchange {
        pool: Rc::clone(pool),
        shared: None,
        stream: None,
        job: None,
        ended: [None, None, None],
        passing: None,
        resting: false,
    })
}

impl Filter for InExchange {
    fn poll(&mut self, cx: &mut Context<'_>, mut call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let (phase, side) = (call.phase, usize::from(call.phase.is_response()));
        loop {
            if phase == Phase::Log
                && self.job.as_ref().is_some_and(|job| job.step.phase != phase)
                && self.gives_up()
            {
                return Poll::Ready(Ok(Verdict::Continue));
            }
            ready!(self.go_on(cx, call.exchange));
            if let Some(Ended { answer, .. }) = self.ended[2].take() {
                if let Err(fault) = answer {
                    self.let_through(&mut call);
                    return Poll::Ready(Err(fault));
                }
                if let Some(verdict) = self.decided(call.exchange) {
                    return Poll::Ready(Ok(verdict));
                }
            }
            if let Some(ended) = self.ended[side].take()
                // Else it is of a phase that was given up.
                && ended.step.phase == phase
                && let Some(verdict) = self.conclude(ended, &mut call)
            {
                return Poll::Ready(verdict);
            }
            let step = Step { phase, last: true, kind: Kind::Phase };
            let waiting = self.stream.as_ref().and_then(|stream| stream.waiting[side]);
            match waiting.filter(|waiting| waiting.phase == phase) {
                None if self.has_seen(side, &call) => return Poll::Ready(Ok(Verdict::Continue)),
                None => {
                    let Some(shared) = self.reach(phase, &mut call) else { continue };
                    let Some(shared) = shared else { return Poll::Ready(Ok(Verdict::Continue)) };
                    let Some(instance) = shared.take(cx) else {
                        if shared.is_dead() {
                            continue;
                        }
                        return Poll::Pending;
                    };
                    let chunk = call.chunk.as_deref_mut();
                    let chunk = chunk.map(|c| (std::mem::take(&mut c.data), c.last));
                    let step = Step { last: chunk.as_ref().is_none_or(|c| c.1), ..step };
                    let stream = self.stream.get_or_insert_default();
                    stream.waiting[side] = None;
                    self.run(call.exchange, instance, step, Task::Phase(phase, chunk));
                }
                Some(waiting) => match self.pause(cx, &mut call, waiting) {
                    Paused::Over(verdict) => return Poll::Ready(verdict),
                    Paused::Waits => return Poll::Pending,
                    Paused::Begun => {}
                },
            }
        }
    }

    fn flow(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        from: Side,
        chunk: &mut Chunk,
    ) -> Poll<Result<Verdict, Fault>> {
        self.pass_on(cx, exchange, from as usize, chunk)
    }

    /// As in Envoy: the callbacks for a response run on a local one, too.
    fn sees_own(&self) -> bool {
        true
    }

    fn aside(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Option<Result<Verdict, Fault>> {
        let mut heard = self.job.is_some();
        if heard {
            if self.go_on(cx, exchange).is_pending() {
                return None;
            }
            // It may be a phase's, which is polled elsewhere.
            cx.waker().wake_by_ref();
        }
        loop {
            if let Some(Ended { answer: Err(fault), .. }) = self.ended[2].take() {
                return Some(Err(fault));
            }
            if let Some(verdict) = self.decided(exchange) {
                return Some(Ok(verdict));
            }
            let Some(mail) = self.stream.as_ref().and_then(|stream| stream.mail.clone()) else {
                break;
            };
            if mail.is_empty() {
                mail.watch(cx);
                break;
            }
            let Some(shared) = self.alive().cloned() else { break };
            let Some(instance) = shared.take(cx) else { break };
            let Some(event) = mail.take() else {
                shared.put(instance);
                break;
            };
            heard = true;
            let step = Step { phase: Phase::Request, last: true, kind: Kind::Event };
            self.run(exchange, instance, step, Task::Event(event));
            if self.go_on(cx, exchange).is_pending() {
                break;
            }
        }
        // What came may have resumed a direction that waits.
        if let Some(stream) = &self.stream
            && (0..2).any(|side| stream.waiting[side].is_some() && stream.resumed[side])
        {
            cx.waker().wake_by_ref();
        }
        heard.then_some(Ok(Verdict::Continue))
    }
}

impl InExchange {
    /// Lets a call on a fiber go on; pending while it is under way.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Poll<()> {
        let Some(running) = &mut self.job else { return Poll::Ready(()) };
        let on_stage = running.stage.enter(exchange);
        let ran = ready!(running.job.as_mut().poll(cx));
        drop(on_stage);
        let step = running.step;
        self.job = None;
        self.end(step, ran);
        Poll::Ready(())
    }

    /// Calls the instance.
    pub(super) fn run(
        &mut self,
        exchange: &mut Exchange,
        mut instance: Box<Instanced>,
        step: Step,
        task: Task,
    ) {
        let stream = self.stream.take().unwrap_or_default();
        let stage = instance.store.data().stage.clone();
        vm::grant(&mut instance.store, self.pool.program.cpu);
        let job = async move {
            let (stream, answer) = instance.run(task, stream).await;
            Ran { instance, stream, answer }
        };
        if self.pool.program.on_fiber {
            self.job = Some(Box::new(Running { step, stage, job: Box::pin(job) }));
            return;
        }
        let on_stage = stage.enter(exchange);
        let ran = vm::at_once(async { Ok(job.await) });
        drop(on_stage);
        match ran {
            Ok(ran) => self.end(step, ran),
            Err(fault) => {
                let ended = Ended { step, answer: Err(fault) };
                self.ended[step.place()] = Some(ended);
            }
        }
    }

    /// A call has ended: the instance goes back, unless it is unfit.
    pub(super) fn end(&mut self, step: Step, ran: Ran) {
        let Ran { instance, mut stream, answer } = ran;
        if let Some(shared) = &self.shared {
            if answer.is_err() {
                stream.context = 0;
                drop(instance);
                self.pool.bury(shared);
            } else {
                shared.put(instance);
            }
        }
        self.stream = Some(stream);
        self.ended[step.place()] = Some(Ended { step, answer });
    }

    /// The instance for a phase; `Some(None)`: none is needed. `None`: a fault was noted instead.
    #[allow(clippy::option_option)]
    pub(super) fn reach(
        &mut self,
        phase: Phase,
        call: &mut Call<'_>,
    ) -> Option<Option<Rc<Shared>>> {
        let mut fault = None;
        if let Some(shared) = self.shared.take_if(|shared| shared.is_dead())
            && phase != Phase::Log
        {
            fault = shared.failed().or_else(|| self.lost(phase));
        }
        if self.shared.is_none() && fault.is_none() {
            // Nothing of this exchange is known to any instance: there is nothing to end.
            if phase == Phase::Log {
                return Some(None);
            }
            match self.pool.shared() {
                Ok(shared) => self.shared = Some(shared),
                Err(failed) => fault = Some(failed),
            }
        }
        let Some(fault) = fault else { return Some(self.shared.clone()) };
        // What the chunk holds goes on with what was held back before it.
        if let Some(chunk) = call.chunk.as_deref_mut() {
            let data = std::mem::take(&mut chunk.data);
            let side = usize::from(phase.is_response());
            self.stream.get_or_insert_default().bodies[side].push(data, false);
        }
        let step = Step { phase, last: true, kind: Kind::Phase };
        self.ended[step.place()] = Some(Ended { step, answer: Err(fault) });
        None
    }

    /// What a stream has gathered of a body is lost with its instance.
    pub(super) fn lost(&mut self, phase: Phase) -> Option<Fault> {
        let stream = self.stream.get_or_insert_default();
        stream.context = 0;
        stream.mail = None;
        let begun = stream.bodies[usize::from(phase.is_response())].begun;
        if begun && matches!(phase, Phase::RequestBody | Phase::ResponseBody) {
            let text =
                format!("{}: its instance trapped in another exchange", self.pool.program.name);
            return Some(Fault::new(FaultKind::Trap, text));
        }
        None
    }

    pub(super) fn alive(&self) -> Option<&Rc<Shared>> {
        self.shared.as_ref().filter(|shared| !shared.is_dead())
    }

    /// Whether the chunk is one that the filter has seen while it held the head.
    pub(super) fn has_seen(&mut self, side: usize, call: &Call<'_>) -> bool {
        let (Some(stream), Some(chunk)) = (&mut self.stream, &call.chunk) else { return false };
        let seen = &mut stream.bodies[side].seen;
        let is_seen = *seen > 0;
        if *seen != usize::MAX {
            *seen = seen.saturating_sub(chunk.data.len());
        }
        is_seen
    }
}
