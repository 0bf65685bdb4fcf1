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

use bytes::Bytes;
use pilotlight_abi::{Phase, Phases};
use pilotlight_filter::{
    Body, BodyError, Call, Exchange, Fault, FaultKind, Filter, Frame, Name, Verdict,
};

use super::abi::PAUSE;
use super::context::{Reply, Stream, Waiting};
use super::instance::{Instanced, Task};
use super::pool::{Pool, Shared};
use crate::stage::Stage;
use crate::vm;

/// A filter of one exchange.
struct InExchange {
    pool: Rc<Pool>,
    shared: Option<Rc<Shared>>,
    /// It is with the job while there is one.
    stream: Option<Box<Stream>>,
    job: Option<Box<Running>>,
    /// What ended, by direction, and has not been looked at; the last is an event's.
    ended: [Option<Ended>; 3],
    /// Nobody polls it any more: it only ends its context.
    resting: bool,
}

/// A call on a fiber.
struct Running {
    step: Step,
    stage: Stage,
    job: Pin<Box<dyn Future<Output = Ran>>>,
}

struct Ran {
    instance: Box<Instanced>,
    stream: Box<Stream>,
    answer: Result<u32, Fault>,
}

/// What a call is for.
#[derive(Clone, Copy)]
struct Step {
    phase: Phase,
    last: bool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Phase,
    /// A piece of a body, while the head waits.
    Pulled,
    Event,
}

struct Ended {
    step: Step,
    answer: Result<u32, Fault>,
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

    fn aside(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Result<Verdict, Fault> {
        if self.job.is_some() {
            if self.go_on(cx, exchange).is_pending() {
                return Ok(Verdict::Continue);
            }
            // It was a phase's, which may be waiting for it.
            cx.waker().wake_by_ref();
        }
        while let Some(mail) = self.stream.as_ref().and_then(|stream| stream.mail.clone()) {
            let due = !mail.is_empty() || mail.broken.get() || mail.answer.borrow().is_some();
            if !due {
                mail.watch(cx);
                break;
            }
            let step = Step { phase: Phase::Request, last: true, kind: Kind::Event };
            if !mail.is_empty() {
                let Some(instance) = self.alive().and_then(|shared| shared.take(cx)) else { break };
                let Some(event) = mail.take() else { break };
                self.run(exchange, instance, step, Task::Event(event));
                if self.go_on(cx, exchange).is_pending() {
                    break;
                }
                if let Some(Ended { answer: Err(fault), .. }) = self.ended[2].take() {
                    return Err(fault);
                }
            }
            if let Some(verdict) = self.decided(exchange) {
                return Ok(verdict);
            }
        }
        // What came may have resumed a direction that waits.
        if let Some(stream) = &self.stream
            && (0..2).any(|side| stream.waiting[side].is_some() && stream.resumed[side])
        {
            cx.waker().wake_by_ref();
        }
        Ok(Verdict::Continue)
    }
}

/// Where a pause stands.
enum Paused {
    Over(Result<Verdict, Fault>),
    Waits,
    /// A call is under way, or has ended.
    Begun,
}

impl InExchange {
    /// Lets a call on a fiber go on; pending while it is under way.
    fn go_on(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Poll<()> {
        let Some(running) = &mut self.job else { return Poll::Ready(()) };
        self.pool.ticker.touch();
        let on_stage = running.stage.enter(exchange);
        let ran = ready!(running.job.as_mut().poll(cx));
        drop(on_stage);
        let step = running.step;
        self.job = None;
        self.end(step, ran);
        Poll::Ready(())
    }

    /// Ends a call that nobody waits for, and its instance with it, when no other stream lives there:
    /// then true. Else it goes on to its end.
    fn gives_up(&mut self) -> bool {
        let Some(shared) = self.alive().cloned() else { return false };
        if shared.root.streams.get() > 1 || shared.root.has_work() {
            return false;
        }
        self.job = None;
        self.pool.drop_shared(&shared);
        true
    }

    /// Calls the instance.
    fn run(
        &mut self,
        exchange: &mut Exchange,
        mut instance: Box<Instanced>,
        step: Step,
        task: Task,
    ) {
        self.pool.ticker.touch();
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
    fn end(&mut self, step: Step, ran: Ran) {
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
    fn reach(&mut self, phase: Phase, call: &mut Call<'_>) -> Option<Option<Rc<Shared>>> {
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
    fn lost(&mut self, phase: Phase) -> Option<Fault> {
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

    fn alive(&self) -> Option<&Rc<Shared>> {
        self.shared.as_ref().filter(|shared| !shared.is_dead())
    }

    /// Whether the chunk is one that the filter has seen while it held the head.
    fn has_seen(&mut self, side: usize, call: &Call<'_>) -> bool {
        let (Some(stream), Some(chunk)) = (&mut self.stream, &call.chunk) else { return false };
        let seen = &mut stream.bodies[side].seen;
        let is_seen = *seen > 0;
        if *seen != usize::MAX {
            *seen = seen.saturating_sub(chunk.data.len());
        }
        is_seen
    }

    /// What a callback has decided beside its answer.
    fn decided(&mut self, exchange: &mut Exchange) -> Option<Verdict> {
        let stream = self.stream.as_deref_mut()?;
        if let Some(mail) = &stream.mail {
            stream.closed |= mail.broken.take();
            if let Some(answer) = mail.answer.take()
                && exchange.response.origin.is_none()
                && answer.apply(exchange)
            {
                stream.reply = Reply::Given;
            }
        }
        if std::mem::take(&mut stream.closed) {
            stream.waiting = [None, None];
            return Some(Verdict::Close);
        }
        if stream.reply == Reply::Given {
            stream.reply = Reply::Closed;
            stream.waiting = [None, None];
            stream.bodies.iter_mut().for_each(|body| drop(body.take()));
            return Some(Verdict::Reply);
        }
        None
    }

    /// What a callback's answer means; `None`: the phase waits.
    fn conclude(&mut self, ended: Ended, call: &mut Call<'_>) -> Option<Result<Verdict, Fault>> {
        let Ended { step, answer } = ended;
        let (phase, side) = (call.phase, usize::from(call.phase.is_response()));
        let action = match answer {
            Ok(action) => action,
            Err(fault) => {
                self.let_through(call);
                return Some(Err(fault));
            }
        };
        if let Some(verdict) = self.decided(call.exchange) {
            return Some(Ok(verdict));
        }
        let name = &self.pool.program.name;
        let stream = self.stream.as_deref_mut()?;
        let is_body = matches!(phase, Phase::RequestBody | Phase::ResponseBody);
        let resumed = stream.resumed[side] || phase == Phase::Log && stream.done;
        if action != PAUSE || resumed {
            return Some(self.pass(call, step.kind == Kind::Pulled, step.last));
        }
        if !stream.bodies[side].fits() {
            let text = format!("{name}: it holds back more of a body than a filter may");
            let fault = Fault::new(FaultKind::Output, text);
            self.let_through(call);
            return Some(Err(fault));
        }
        if is_body && !step.last {
            if let Some(chunk) = call.chunk.as_deref_mut() {
                chunk.data = stream.bodies[side].take_released();
            }
            return Some(Ok(Verdict::Continue));
        }
        let pulls = self.pool.program.hold_headers
            && matches!(phase, Phase::Request | Phase::Response)
            && self.pool.program.phases.has(match phase {
                Phase::Request => Phase::RequestBody,
                _ => Phase::ResponseBody,
            })
            && !(step.kind == Kind::Pulled && step.last);
        stream.waiting[side] = Some(Waiting { phase, last: step.last, pulls });
        None
    }

    /// Looks at a pause: what has come, whether it is over, whether anything can end it.
    fn pause(&mut self, cx: &mut Context<'_>, call: &mut Call<'_>, waiting: Waiting) -> Paused {
        let (phase, side) = (call.phase, usize::from(call.phase.is_response()));
        let Some(shared) = self.alive().cloned() else {
            let text =
                format!("{}: its instance trapped in another exchange", self.pool.program.name);
            self.let_through(call);
            return Paused::Over(Err(Fault::new(FaultKind::Trap, text)));
        };
        let Some(stream) = self.stream.as_deref_mut() else { return Paused::Begun };
        let step = Step { phase, last: true, kind: Kind::Event };
        if let Some(mail) = stream.mail.clone() {
            stream.resumed[side] |= mail.take_resumed(side);
            if !mail.is_empty() {
                let Some(instance) = shared.take(cx) else { return Paused::Waits };
                if let Some(event) = mail.take() {
                    self.run(call.exchange, instance, step, Task::Event(event));
                } else {
                    shared.put(instance);
                }
                return Paused::Begun;
            }
        }
        if let Some(verdict) = self.decided(call.exchange) {
            return Paused::Over(Ok(verdict));
        }
        let Some(stream) = self.stream.as_deref_mut() else { return Paused::Begun };
        if phase == Phase::Log {
            if stream.done || !shared.root.has_work() {
                stream.waiting[side] = None;
                let Some(instance) = shared.take(cx) else { return Paused::Waits };
                self.run(call.exchange, instance, Step { kind: Kind::Phase, ..step }, Task::Finish);
                return Paused::Begun;
            }
        } else if stream.resumed[side] {
            return Paused::Over(self.pass(call, waiting.pulls, waiting.last));
        }
        if waiting.pulls {
            let body = match side {
                0 => &mut call.exchange.request.body,
                _ => &mut call.exchange.response.body,
            };
            // The instance first: a frame must not be lost while another uses it.
            let Some(instance) = shared.take(cx) else { return Paused::Waits };
            match body.poll_frame(cx) {
                Poll::Pending => shared.put(instance),
                Poll::Ready(frame) => {
                    let (data, last) = match frame {
                        Some(Ok(Frame::Data(data))) => (data, false),
                        Some(Ok(Frame::Trailers(trailers))) => {
                            body.set_trailers(trailers);
                            (Bytes::new(), true)
                        }
                        None => (Bytes::new(), true),
                        Some(Err(error)) => {
                            shared.put(instance);
                            return Paused::Over(Err(broken(&self.pool.program.name, error)));
                        }
                    };
                    let of = if side == 0 { Phase::RequestBody } else { Phase::ResponseBody };
                    let step = Step { phase, last, kind: Kind::Pulled };
                    self.run(call.exchange, instance, step, Task::Pulled(of, data, last));
                    return Paused::Begun;
                }
            }
        } else if !shared.root.has_work() {
            // Envoy would wait for ever.
            let name = &self.pool.program.name;
            let text = format!("{name}: paused in {}, and nothing can resume it", phase.name());
            self.let_through(call);
            return Paused::Over(Err(Fault::new(FaultKind::Error, text)));
        }
        self.watch(cx, &shared);
        Paused::Waits
    }

    /// Whatever comes for the stream wakes who polls.
    fn watch(&mut self, cx: &Context<'_>, shared: &Rc<Shared>) {
        let Some(stream) = self.stream.as_deref_mut() else { return };
        if let Some(mail) = &stream.mail {
            mail.watch(cx);
        } else if let Some(mut instance) = shared.take(cx) {
            // Others may resume it from now on.
            instance.store.data_mut().proxy.contexts.open_mail(stream).watch(cx);
            shared.put(instance);
        }
    }

    /// What was held back goes on unchanged.
    fn let_through(&mut self, call: &mut Call<'_>) {
        let side = usize::from(call.phase.is_response());
        let Some(stream) = self.stream.as_deref_mut() else { return };
        stream.waiting[side] = None;
        let held = stream.bodies[side].take();
        match (call.chunk.as_deref_mut(), call.phase) {
            (Some(chunk), _) => chunk.data = held,
            (None, Phase::Request) => call.exchange.request.body.restore(held),
            (None, Phase::Response) => call.exchange.response.body.restore(held),
            _ => {}
        }
    }

    /// The phase is over: what was held back goes on, and what the body callback means for the head.
    fn pass(&mut self, call: &mut Call<'_>, pulled: bool, last: bool) -> Result<Verdict, Fault> {
        let (phase, side) = (call.phase, usize::from(call.phase.is_response()));
        let phases = self.pool.program.phases;
        let Some(stream) = self.stream.as_deref_mut() else { return Ok(Verdict::Continue) };
        stream.waiting[side] = None;
        if phase == Phase::Log {
            self.forget();
            return Ok(Verdict::Continue);
        }
        if let Some(chunk) = call.chunk.as_deref_mut() {
            chunk.data = stream.bodies[side].take();
        }
        let Exchange { request, response, .. } = &mut *call.exchange;
        let (body, fields, of): (&mut Body, _, _) = match phase {
            Phase::Request => (&mut request.body, &mut request.head.fields, Phase::RequestBody),
            Phase::Response => (&mut response.body, &mut response.head.fields, Phase::ResponseBody),
            _ => return Ok(Verdict::Continue),
        };
        if !phases.has(of) {
            return Ok(Verdict::Continue);
        }
        let held = stream.bodies[side].take();
        if pulled && (last || !held.is_empty()) {
            let whole = last && body.is_at_rest();
            stream.bodies[side].seen = if last { usize::MAX } else { held.len() };
            body.restore(held);
            if whole {
                let length = body.length().unwrap_or(0).to_string();
                if fields.known(Name::ContentLength).is_some() {
                    fields.replace(Name::ContentLength, length.as_bytes());
                }
                return Ok(Verdict::Dismiss(Phases::NONE.with(of)));
            }
        }
        if !body.is_done() {
            body.forget_length();
            fields.remove_known(Name::ContentLength);
        }
        Ok(Verdict::Continue)
    }

    /// The stream is over: what still comes for it is the plugin's.
    fn forget(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        let Some(shared) = self.alive() else { return };
        if let Some(mail) = &stream.mail {
            for event in mail.close() {
                let _ = shared.root.mail.put(event);
            }
        }
        if let Some(mut instance) = shared.take_now() {
            instance.store.data_mut().proxy.contexts.end(stream.place);
            shared.root.streams.set(shared.root.streams.get().saturating_sub(1));
            shared.put(instance);
        }
    }
}

fn broken(name: &str, error: BodyError) -> Fault {
    Fault::new(FaultKind::Error, format!("{name}: the body that it waits for broke off: {error}"))
}

/// An exchange that ends without its log phase still ends its context, and a call that is under way
/// goes on to its end: others use the instance, too.
impl Drop for InExchange {
    fn drop(&mut self) {
        if self.job.is_some() && !self.resting && self.gives_up() {
            return;
        }
        let running = self.job.take();
        let begun = self.stream.as_ref().is_some_and(|stream| stream.context != 0);
        if self.resting || self.shared.is_none() || !begun && running.is_none() {
            return;
        }
        if self.pool.program.fresh || self.alive().is_none() {
            return;
        }
        if running.is_none() && !self.pool.program.phases.has(Phase::Log) {
            return self.forget();
        }
        let mut rest = InExchange {
            pool: Rc::clone(&self.pool),
            shared: self.shared.take(),
            stream: self.stream.take(),
            job: None,
            ended: [None, None, None],
            resting: true,
        };
        let Some(shared) = rest.shared.clone() else { return };
        if !self.pool.program.on_fiber {
            if let (Some(mut instance), Some(stream)) = (shared.take_now(), rest.stream.take()) {
                vm::grant(&mut instance.store, self.pool.program.cpu);
                self.pool.ticker.touch();
                let ran = vm::at_once(async { Ok(leave_at_once(instance, stream).await) });
                if let Ok(Some((instance, stream))) = ran {
                    shared.put(instance);
                    rest.stream = Some(stream);
                    rest.forget();
                } else {
                    self.pool.bury(&shared);
                }
            }
            return;
        }
        self.pool.services.spawn(Box::pin(async move {
            if let Some(running) = running {
                let ran = running.job.await;
                rest.end(running.step, ran);
            }
            if let Some(stream) = rest.stream.take_if(|stream| stream.context != 0)
                && let Some(mut instance) = shared.wait().await
            {
                vm::grant(&mut instance.store, rest.pool.program.cpu);
                match leave_at_once(instance, stream).await {
                    Some((instance, stream)) => {
                        shared.put(instance);
                        rest.stream = Some(stream);
                        rest.forget();
                    }
                    None => rest.pool.bury(&shared),
                }
            }
        }));
    }
}

/// The last callbacks of a stream; `None` when one of them trapped.
async fn leave_at_once(
    mut instance: Box<Instanced>,
    stream: Box<Stream>,
) -> Option<(Box<Instanced>, Box<Stream>)> {
    let (stream, answer) = instance.run(Task::Phase(Phase::Log, None), stream).await;
    let (stream, answer) = match answer {
        Ok(PAUSE) => instance.run(Task::Finish, stream).await,
        answer => (stream, answer),
    };
    answer.is_ok().then_some((instance, stream))
}
