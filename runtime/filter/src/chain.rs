//! The filters of one exchange, in order.
//!
//! ```text
//! request    a ─▶ b ─▶ c ─▶ upstream
//! response   a ◀─ b ◀─ c ◀─
//! ```
//! When `b` answers, only the filters already passed (`a`) see that answer.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pilotlight_abi::{Phase, Phases};

use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::filter::{Call, Chunk, Filter, OnError, Verdict};

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
    /// It ended or waits; `fault` when it failed.
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
}

/// The filters of one exchange.
#[derive(Default)]
pub struct Chain {
    links: Vec<Link>,
    /// Filters that have let the request pass: the first `passed` see the response.
    passed: usize,
    /// Where a request-direction walk stands, and a response-direction one (counted from the end).
    request: usize,
    response: usize,
    wanted: Phases,
}

impl Chain {
    /// A chain of these filters.
    pub fn new(links: Vec<Link>) -> Chain {
        let wanted = links.iter().fold(Phases::NONE, |all, link| all.union(link.phases));
        Chain { links, wanted, ..Chain::default() }
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
        loop {
            let step = if phase.is_response() { self.response } else { self.request };
            if step >= end {
                break;
            }
            let index = if phase.is_response() { end - 1 - step } else { step };
            let link = &mut self.links[index];
            if link.phases.has(phase) {
                observer.enter(index, phase);
                let call = Call { phase, exchange, chunk: chunk.as_deref_mut() };
                let polled = link.filter.poll(cx, call);
                let fault = match &polled {
                    Poll::Ready(Err(fault)) => Some(fault),
                    _ => None,
                };
                observer.leave(index, phase, exchange, fault);
                match ready!(polled) {
                    Ok(Verdict::Continue) => {}
                    Ok(Verdict::Reply) if !phase.is_response() => {
                        self.request = 0;
                        return Poll::Ready(Passed::Replied);
                    }
                    Ok(Verdict::Reply) => {}
                    Err(_) if link.on_error == OnError::Open => link.phases = Phases::NONE,
                    Err(_) => {
                        link.phases = Phases::NONE;
                        self.reset(phase);
                        return Poll::Ready(Passed::Failed);
                    }
                }
            }
            if phase == Phase::Request {
                self.passed = index + 1;
            }
            *(if phase.is_response() { &mut self.response } else { &mut self.request }) += 1;
        }
        self.reset(phase);
        Poll::Ready(Passed::Through)
    }

    /// Gives up phases that still wait: the next poll begins a phase afresh.
    pub fn abandon(&mut self) {
        (self.request, self.response) = (0, 0);
    }

    fn end_of(&self, phase: Phase) -> usize {
        match phase {
            Phase::Request | Phase::Connect => self.links.len(),
            // Everyone who has begun may log, the one that answered or failed too.
            Phase::Log => self.links.len().min(self.passed + 1),
            _ => self.passed,
        }
    }

    fn reset(&mut self, phase: Phase) {
        *(if phase.is_response() { &mut self.response } else { &mut self.request }) = 0;
    }
}
