//! What a callback's answer means, and how a pause goes on.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_abi::{Phase, Phases};
use pilotlight_filter::{Body, BodyError, Call, Exchange, Fault, FaultKind, Frame, Name, Verdict};

use super::abi::PAUSE;
use super::context::{Reply, Waiting};
use super::filter::{Ended, InExchange, Kind, Step};
use super::instance::Task;
use super::pool::Shared;

/// Where a pause stands.
pub(super) enum Paused {
    Over(Result<Verdict, Fault>),
    Waits,
    /// A call is under way, or has ended.
    Begun,
}

/// How a callback stops what passes.
#[derive(Clone, Copy)]
struct Stop {
    /// While a head waits, the callback of its body is called.
    shows: bool,
    /// The body that has come goes nowhere.
    drops: bool,
}

impl InExchange {
    /// What a callback has decided beside its answer.
    pub(super) fn decided(&mut self, exchange: &mut Exchange) -> Option<Verdict> {
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
    pub(super) fn conclude(
        &mut self,
        ended: Ended,
        call: &mut Call<'_>,
    ) -> Option<Result<Verdict, Fault>> {
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
        let is_body = matches!(phase, Phase::RequestBody | Phase::ResponseBody);
        let stop = self.stop(action, phase, is_body || step.kind == Kind::Pulled);
        let stream = self.stream.as_deref_mut()?;
        if stop.is_some_and(|stop| stop.drops) {
            stream.bodies[side].drop_held();
        }
        let resumed = stream.resumed[side] || phase == Phase::Log && stream.done;
        let Some(stop) = stop.filter(|_| !resumed) else {
            return Some(self.pass(call, step.kind == Kind::Pulled, step.last));
        };
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
        let pulls = stop.shows
            && matches!(phase, Phase::Request | Phase::Response)
            && self.pool.program.outcome.phases.has(match phase {
                Phase::Request => Phase::RequestBody,
                _ => Phase::ResponseBody,
            })
            && !(step.kind == Kind::Pulled && step.last);
        let pulled = step.kind == Kind::Pulled;
        stream.waiting[side] = Some(Waiting { phase, last: step.last, pulls, pulled });
        None
    }

    /// What a callback's answer holds back; `None`: nothing. Filters of ABI 0.2.100 answer as Envoy's own do:
    ///
    /// ```text
    ///      a head                                     a body
    /// 1    waits, while its body's callback is called  waits
    /// 2    goes on                                    waits
    /// 3    waits, and all behind it                   what has come is dropped: the filter has it
    /// 4    as 3
    /// ```
    fn stop(&self, answer: u32, phase: Phase, of_body: bool) -> Option<Stop> {
        let program = &self.pool.program;
        let of_head = matches!(phase, Phase::Request | Phase::Response) && !of_body;
        let stops = match answer {
            2 | 3 if program.outcome.higress && of_body => true,
            3 | 4 if program.outcome.higress && of_head => true,
            answer => answer == PAUSE,
        };
        let shows =
            if program.outcome.higress { of_body || answer == PAUSE } else { program.hold_headers };
        stops.then_some(Stop { shows, drops: program.outcome.higress && of_body && answer == 3 })
    }

    /// Looks at a pause: what has come, whether it is over, whether anything can end it.
    pub(super) fn pause(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut Call<'_>,
        waiting: Waiting,
    ) -> Paused {
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
            stream.done |= mail.done.get();
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
                // The instance first: whose wait is over without it would be asked anew.
                let Some(instance) = shared.take(cx) else { return Paused::Waits };
                stream.waiting[side] = None;
                self.run(call.exchange, instance, Step { kind: Kind::Phase, ..step }, Task::Finish);
                return Paused::Begun;
            }
        } else if stream.resumed[side]
            // In ngx_wasm_module a stream goes on when its calls are answered, said or not.
            || self.pool.program.text && stream.has_all_answers()
        {
            return Paused::Over(self.pass(call, waiting.pulled, waiting.last));
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
        // From now on others can reach the stream, whatever it does next.
        call.exchange.aside = true;
        Paused::Waits
    }

    /// Whatever comes for the stream wakes who polls.
    pub(super) fn watch(&mut self, cx: &Context<'_>, shared: &Rc<Shared>) {
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
    pub(super) fn let_through(&mut self, call: &mut Call<'_>) {
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
    pub(super) fn pass(
        &mut self,
        call: &mut Call<'_>,
        pulled: bool,
        last: bool,
    ) -> Result<Verdict, Fault> {
        let (phase, side) = (call.phase, usize::from(call.phase.is_response()));
        let phases = self.pool.program.outcome.phases;
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
}

fn broken(name: &str, error: BodyError) -> Fault {
    Fault::new(FaultKind::Error, format!("{name}: the body that it waits for broke off: {error}"))
}
