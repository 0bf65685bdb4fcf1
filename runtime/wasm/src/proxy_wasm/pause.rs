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
}

fn broken(name: &str, error: BodyError) -> Fault {
    Fault::new(FaultKind::Error, format!("{name}: the body that it waits for broke off: {error}"))
}
