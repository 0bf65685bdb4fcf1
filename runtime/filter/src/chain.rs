//! The filters of one exchange, in order.
//!
//! ```text
//! request    a ─▶ b ─▶ c ─▶ upstream
//! response   a ◀─ b ◀─ c ◀─
//! ```
//! When `b` answers, the filters already passed (`a`) see that answer; `c` does only when it sees all
//! of them ([`Filter::sees_all`]). `b` may go on to make the answer's body, frame by frame as they are
//! asked for, while the others work on what came so far.

mod filtered;
mod flowing;
mod intake;

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pilotlight_abi::{Phase, Phases};

use crate::body::{BodyError, Frame, Pipe};
use crate::exchange::{Exchange, Origin};
use crate::fault::{Fault, FaultKind};
use crate::filter::{Call, Chunk, End, Filter, OnError, Pull, Verdict};

pub use self::filtered::{Filtered, Stopped};
use self::intake::Intake;

/// A filter's place in a chain.
pub struct Link {
    /// Its name in the manifest.
    pub name: Arc<str>,
    /// What it wants to be called for.
    pub phases: Phases,
    /// What its failure does.
    pub on_error: OnError,
    /// Its state for this exchange.
    pub filter: Box<dyn Filter>,
}

/// Who is told how long filters take and how they fail.
pub trait Observer {
    /// The filter at `index` is about to run in `phase`.
    fn enter(&self, index: usize, phase: Phase);
    /// It ended or waits; `fault` when it failed. Another of the same walk is entered hereby.
    fn leave(&self, index: usize, phase: Phase, exchange: &Exchange, fault: Option<&Fault>);
}

/// How the walk through a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// All filters went on.
    Through,
    /// A filter answered.
    Replied,
    /// A filter failed and the exchange fails with it.
    Failed,
    /// A filter sent the request elsewhere: this chain has done its part.
    Rerouted,
    /// A filter wants the exchange broken off.
    Closed,
}

/// The filters of one exchange.
#[derive(Default)]
pub struct Chain {
    links: Vec<Link>,
    /// Filters that have seen the request: the first `begun` log, the one that answered, too.
    begun: usize,
    /// Filters that have let the request pass: the first `passed` see the response.
    passed: usize,
    /// The place of the route's own script, if it has one.
    target: Option<usize>,
    intake: Option<Box<Intake>>,
    /// Where a request-direction walk stands, one with the request's body, and a response-direction
    /// one (counted from the end).
    request: usize,
    body: usize,
    response: usize,
    wanted: Phases,
    /// The filter whose answer is under way, and where its frames go.
    stream: Option<(usize, Pipe)>,
}

impl Chain {
    /// A chain of these filters.
    pub fn new(links: Vec<Link>) -> Chain {
        let wanted = links.iter().fold(Phases::NONE, |all, link| all.union(link.phases));
        Chain { links, wanted, ..Chain::default() }
    }

    /// The filter at `index` answers instead of an upstream: the request's body comes to it through
    /// those before it.
    pub fn with_target(mut self, index: Option<usize>) -> Chain {
        self.target = index;
        self
    }

    /// Whether it has no filter.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Whether any filter wants `phase`.
    #[inline]
    pub fn wants(&self, phase: Phase) -> bool {
        self.wanted.has(phase)
    }

    /// The name of the filter at `index`.
    pub fn name(&self, index: usize) -> Option<&Arc<str>> {
        self.links.get(index).map(|link| &link.name)
    }

    /// Walks a phase: polled until ready. A body phase hands `chunk` from filter to filter.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        phase: Phase,
        exchange: &mut Exchange,
        mut chunk: Option<&mut Chunk>,
        observer: &dyn Observer,
    ) -> Poll<Passed> {
        let end = self.end_of(phase);
        let mut entered = false;
        loop {
            let step = *self.step(phase);
            if step >= end {
                break;
            }
            let index = if phase.is_response() { end - 1 - step } else { step };
            let is_target = phase == Phase::Request && self.target == Some(index);
            if is_target {
                match ready!(self.take_in(cx, exchange, observer)) {
                    Passed::Through => {}
                    stopped => return self.stop(phase, stopped),
                }
            }
            if phase == Phase::Request {
                self.begun = index + 1;
            }
            let reached = if phase == Phase::Log { self.begun } else { self.passed };
            let comes_back = phase.is_response() || phase == Phase::Log;
            let link = &mut self.links[index];
            let due = !comes_back || index < reached || link.filter.sees_all();
            if due && link.phases.has(phase) {
                if !std::mem::replace(&mut entered, true) {
                    observer.enter(index, phase);
                }
                let call = Call { phase, exchange, chunk: chunk.as_deref_mut() };
                let polled = link.filter.poll(cx, call);
                let fault = match &polled {
                    Poll::Ready(Err(fault)) => Some(fault),
                    _ => None,
                };
                observer.leave(index, phase, exchange, fault);
                if is_target && polled.is_pending() {
                    match self.supply(cx, exchange, observer) {
                        Some(Passed::Through) => continue,
                        Some(stopped) => return self.stop(phase, stopped),
                        None => return Poll::Pending,
                    }
                }
                let link = &mut self.links[index];
                match ready!(polled) {
                    Ok(Verdict::Continue) => {}
                    Ok(Verdict::Enlist(phases)) => {
                        link.phases = link.phases.union(phases);
                        self.wanted = self.wanted.union(phases);
                    }
                    Ok(Verdict::Dismiss(phases)) => {
                        link.phases = link.phases.without(phases);
                        let all = self.links.iter().map(|link| link.phases);
                        self.wanted = all.fold(Phases::NONE, Phases::union);
                    }
                    Ok(Verdict::Close) => return self.stop(phase, Passed::Closed),
                    Ok(Verdict::Reroute) if phase == Phase::Request => {
                        return Poll::Ready(Passed::Rerouted);
                    }
                    Ok(answer @ (Verdict::Reply | Verdict::Stream { .. })) if answers(phase) => {
                        self.answer(index, answer, exchange);
                        return Poll::Ready(Passed::Replied);
                    }
                    Ok(_) => {}
                    // Without a session to go on with there is a new one, and the filter has more
                    // to say about that.
                    Err(_) if matches!(phase, Phase::SessionFetch | Phase::SessionStore) => {}
                    Err(_) if link.on_error == OnError::Open => link.phases = Phases::NONE,
                    Err(fault) => {
                        exchange.page = fault.page;
                        exchange.busy = fault.kind == FaultKind::Busy;
                        link.phases = Phases::NONE;
                        return self.stop(phase, Passed::Failed);
                    }
                }
            }
            if phase == Phase::Request {
                self.passed = index + 1;
            }
            *self.step(phase) += 1;
        }
        self.stop(phase, Passed::Through)
    }

    /// Asks the filters that want it what has come for them ([`Exchange::aside`]). `None`: the exchange
    /// goes on as it was.
    pub fn aside(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        observer: &dyn Observer,
    ) -> Option<Passed> {
        for index in 0..self.begun {
            let link = &mut self.links[index];
            if link.phases == Phases::NONE {
                continue;
            }
            observer.enter(index, Phase::Request);
            let Some(heard) = link.filter.aside(cx, exchange) else { continue };
            observer.leave(index, Phase::Request, exchange, heard.as_ref().err());
            match heard {
                Ok(Verdict::Reply) => {
                    self.answer(index, Verdict::Reply, exchange);
                    return Some(Passed::Replied);
                }
                Ok(Verdict::Close) => return Some(Passed::Closed),
                Ok(_) => {}
                Err(_) if link.on_error == OnError::Open => link.phases = Phases::NONE,
                Err(_) => {
                    link.phases = Phases::NONE;
                    return Some(Passed::Failed);
                }
            }
        }
        None
    }

    /// The filter at `index` has answered, or has begun to.
    fn answer(&mut self, index: usize, verdict: Verdict, exchange: &mut Exchange) {
        self.request = 0;
        if self.links[index].filter.sees_own() {
            self.passed = self.passed.max(index + 1);
        }
        if let Verdict::Stream { length } = verdict {
            let (pipe, body) = Pipe::new(length);
            exchange.response.body = body;
            exchange.response.origin = Some(Origin::Filter);
            self.stream = Some((index, pipe));
        }
    }

    /// Whether a filter's answer is under way.
    #[inline]
    pub fn is_streaming(&self) -> bool {
        self.stream.is_some()
    }

    /// Has the answer that is under way go on, when its body is pending for want of it: true when a
    /// look at the body is worth while again. `flushed`: what came out so far has left.
    pub fn feed(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        flushed: bool,
        observer: &dyn Observer,
    ) -> bool {
        let Some((index, pipe)) = self.stream.take_if(|(_, pipe)| pipe.is_wanted()) else {
            return false;
        };
        let fed = self.poll_answer(cx, exchange, flushed, index, observer);
        let is_fed = fed.is_ready();
        let mut broken = false;
        if let Poll::Ready(frame) = fed {
            broken = matches!(frame, Some(Err(_)));
            pipe.put(frame);
        }
        if !broken {
            self.stream = Some((index, pipe));
        }
        is_fed
    }

    /// The next frame of the answer that the filter at `index` makes.
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        flushed: bool,
        index: usize,
        observer: &dyn Observer,
    ) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            observer.enter(index, Phase::Request);
            let polled = self.links[index].filter.poll_body(cx, Pull { exchange, flushed });
            let fault = match &polled {
                Poll::Ready(Err(fault)) => Some(fault),
                _ => None,
            };
            observer.leave(index, Phase::Request, exchange, fault);
            return match polled {
                Poll::Ready(Ok(frame)) => Poll::Ready(frame.map(Ok)),
                Poll::Ready(Err(_)) => Poll::Ready(Some(Err(BodyError::Filter))),
                Poll::Pending => match self.supply(cx, exchange, observer) {
                    Some(Passed::Through) => continue,
                    Some(_) => Poll::Ready(Some(Err(BodyError::Filter))),
                    None => Poll::Pending,
                },
            };
        }
    }

    /// Lets filters end what they have under way, now that nobody waits for it. Polled until ready.
    pub fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        end: End,
        observer: &dyn Observer,
    ) -> Poll<()> {
        let mut rest = Poll::Ready(());
        for (index, link) in self.links[..self.begun].iter_mut().enumerate() {
            observer.enter(index, Phase::Request);
            let polled = link.filter.poll_rest(cx, exchange, end);
            let fault = match &polled {
                Poll::Ready(Err(fault)) => Some(fault),
                _ => None,
            };
            observer.leave(index, Phase::Request, exchange, fault);
            if polled.is_pending() {
                rest = Poll::Pending;
            }
        }
        rest
    }

    /// Gives up phases that still wait, and an answer that is under way: the next poll begins a phase
    /// afresh.
    pub fn abandon(&mut self) {
        (self.request, self.body, self.response, self.stream) = (0, 0, 0, None);
    }

    fn end_of(&self, phase: Phase) -> usize {
        match phase {
            Phase::RequestBody
            | Phase::RequestTrailers
            | Phase::Upstream
            | Phase::UpstreamCertificate
            | Phase::UpstreamVerify => self.passed,
            _ => self.links.len(),
        }
    }

    /// Where the walk of a phase stands.
    #[inline]
    fn step(&mut self, phase: Phase) -> &mut usize {
        match phase {
            Phase::RequestBody | Phase::RequestTrailers => &mut self.body,
            _ if phase.is_response() => &mut self.response,
            _ => &mut self.request,
        }
    }

    #[inline]
    fn stop(&mut self, phase: Phase, passed: Passed) -> Poll<Passed> {
        *self.step(phase) = 0;
        Poll::Ready(passed)
    }
}

/// Whether filters may answer in a phase.
const fn answers(phase: Phase) -> bool {
    !phase.is_response() && (phase as usize) < Phase::Log as usize
}

#[cfg(test)]
mod tests;
