//! One exchange's turn on a worker: its chain, its timer, its figures.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_abi::Phase;
use pilotlight_config::manifest::{Route, Target};
use pilotlight_core::admission;
use pilotlight_core::router::Captures;
use pilotlight_core::template::{self, Values};
use pilotlight_filter::{Chain, End, Exchange, Filtered, Origin, Passed, Taken};

use super::errors::Page;
use super::pump::{Pump, PumpError};
use super::watch::Watch;
use super::{Figures, Left, TOO_LATE};
use crate::admission::Pass;
use crate::codec::Downstream;
use crate::generation::Local;
use crate::services::socket;
use crate::timer::Timer;
use crate::upstream::Lease;
use crate::worker::{Inlet, Worker};

/// What `drive` carries through an exchange beside the exchange itself.
pub(crate) struct Turn<'a> {
    pub(crate) inlet: &'a Inlet,
    pub(crate) local: Rc<Local>,
    pub(crate) chain: Chain,
    pub(crate) timer: Timer,
    pub(crate) pump: Option<Pump>,
    pub(crate) lease: Option<Lease>,
    pub(crate) watch: Watch,
    /// Worker's clock when the head had arrived.
    pub(crate) started: Duration,
    /// Worker's clock, milliseconds, when the exchange must be over.
    pub(crate) deadline: Option<u64>,
    pub(crate) error: Option<&'static str>,
    /// A filter broke the exchange off.
    pub(super) closed: bool,
    /// A filter has the client's connection: nothing is written to it here any more.
    pub(super) taken: bool,
    route: Option<usize>,
    /// The index of the upstream that was asked.
    pub(crate) upstream: Option<usize>,
    /// Tries at an upstream that filters have allowed beside the route's retries.
    pub(crate) more_tries: u32,
    /// Instances of applications that were gone.
    pub(super) refusals: u8,
    pub(crate) page: Page,
    /// Leave of the gates that it passed, if it came to any: of its route, of its upstream.
    pub(super) passes: Option<Box<[Option<Pass>; 2]>>,
    captures: Captures,
    /// The path that `captures` are ranges of, where the target needs it.
    matched: Vec<u8>,
    _open: Open,
}

impl<'a> Turn<'a> {
    pub(crate) fn begin(inlet: &'a Inlet, local: Rc<Local>, exchange: &mut Exchange) -> Turn<'a> {
        let worker = &inlet.worker;
        let started = worker.clock.elapsed();
        exchange.stats.started = worker.clock.wall().as_secs_f64();
        inlet.peer.requests.set(inlet.peer.requests.get() + 1);
        Turn {
            watch: Watch::new(worker.clone(), local.clone()),
            _open: Open::new(worker.clone()),
            timer: worker.timers.timer(),
            local,
            inlet,
            chain: Chain::default(),
            pump: None,
            lease: None,
            started,
            deadline: None,
            error: None,
            closed: false,
            taken: false,
            route: None,
            upstream: None,
            more_tries: 0,
            refusals: 0,
            page: Page::No,
            passes: None,
            captures: Captures::default(),
            matched: Vec::new(),
        }
    }

    /// The route that was found.
    pub(crate) fn route(&self) -> Option<usize> {
        self.route
    }

    pub(crate) fn take_route(
        &mut self,
        index: usize,
        route: &Route,
        captures: Captures,
        path: &[u8],
        anew: bool,
    ) {
        self.route = Some(index);
        self.captures = captures;
        if route.rewrite.is_some() || matches!(route.target, Target::Redirect(_) | Target::Files(_))
        {
            self.matched = path.to_vec();
        }
        if anew {
            self.watch.begin(index);
        }
        self.deadline = route.total.map(|t| (self.started + t).as_millis() as u64);
        self.limit(None);
    }

    /// Arms the timer for the next wait: `after` from now, and never past the exchange's deadline.
    pub(crate) fn limit(&mut self, after: Option<Duration>) {
        let at = after.map(|a| self.inlet.worker.clock.millis() + a.as_millis() as u64);
        match (at, self.deadline) {
            (None, None) => self.timer.disarm(),
            (Some(at), None) | (None, Some(at)) => self.timer.arm_at(at),
            (Some(at), Some(deadline)) => self.timer.arm_at(at.min(deadline)),
        }
    }

    /// Walks the chain through a phase without a chunk. When the exchange's time is over, its answer
    /// says so.
    pub(crate) async fn walk(
        &mut self,
        phase: Phase,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
    ) -> Result<Passed, Left> {
        // The request phase counts those that it passes.
        if !self.chain.wants(phase) && (phase != Phase::Request || self.chain.is_empty()) {
            return Ok(Passed::Through);
        }
        poll_fn(|cx| {
            loop {
                let polled = self.chain.poll(cx, phase, exchange, None, &self.watch);
                if let Poll::Ready(passed) = polled {
                    self.closed = passed == Passed::Closed;
                    return Poll::Ready(if self.closed { Err(Left) } else { Ok(passed) });
                }
                // It may wait for the body of an answer that is under way: nothing of it is held back.
                if !self.chain.feed(cx, exchange, true, &self.watch)
                    && !self.grant(cx, exchange, down)
                {
                    break;
                }
            }
            self.poll_meanwhile(cx, exchange, down)
        })
        .await
    }

    /// What may happen while a filter waits, and end it: an upstream that answers still takes the
    /// request, something comes for another filter, the time is over, the client leaves.
    fn poll_meanwhile(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
    ) -> Poll<Result<Passed, Left>> {
        if let Some(passed) = self.push(cx, exchange).or_else(|| self.aside(cx, exchange)) {
            self.closed = passed == Passed::Closed;
            return Poll::Ready(if self.closed { Err(Left) } else { Ok(passed) });
        }
        if self.timer.poll(cx).is_ready() {
            self.chain.abandon();
            self.fail(exchange, TOO_LATE);
            return Poll::Ready(Ok(Passed::Replied));
        }
        // It may be waiting for the request's body, and its sender for a 100.
        if down.queued() > 0 {
            let _ = down.poll_flush(cx);
        }
        if self.taken {
            return Poll::Pending;
        }
        down.poll_gone(cx).map(|()| Err(Left))
    }

    /// Asks filters for which something may have come while others wait.
    #[inline]
    pub(super) fn aside(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Option<Passed> {
        if exchange.aside { self.chain.aside(cx, exchange, &self.watch) } else { None }
    }

    /// Gives a filter that wants it the client's connection, once all that was written has left.
    pub(super) fn grant(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
    ) -> bool {
        if exchange.takeover.is_none() || down.queued() > 0 && down.poll_flush(cx).is_pending() {
            return false;
        }
        let peer = SocketAddr::new(exchange.peer.address, exchange.peer.port);
        let programs = self.local.generation.program_tls.clone();
        let taken = down
            .tunnel()
            .map(|(stream, early)| Taken { socket: socket::taken(stream, peer, programs), early });
        self.taken = taken.is_some();
        if let Some(takeover) = exchange.takeover.take() {
            takeover.grant(taken);
        }
        true
    }

    /// The rest of the request still goes up while the response comes down. A filter that wants no
    /// more of it breaks the exchange off.
    pub(crate) fn push(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Option<Passed> {
        if let Some(pump) = &mut self.pump
            && !pump.is_done()
            && let Poll::Ready(Err(error)) = pump.poll(cx, exchange, &mut self.chain, &self.watch)
        {
            pump.out.abort();
            self.pump = None;
            return (error == PumpError::Closed).then_some(Passed::Closed);
        }
        None
    }

    /// Has the filters see the body of a request that nothing behind them takes.
    pub(super) async fn drain(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
    ) -> Result<Result<(), PumpError>, Left> {
        let mut body = Filtered::default();
        poll_fn(|cx| {
            loop {
                match body.poll_data(cx, exchange, &mut self.chain, &self.watch) {
                    Poll::Ready(Ok(Some(_))) => {}
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(Ok(()))),
                    Poll::Ready(Err(stopped)) => return Poll::Ready(Ok(Err(stopped.into()))),
                    Poll::Pending => break,
                }
            }
            let stopped = |passed| PumpError::stopped(passed).map_or(Ok(()), Err);
            self.poll_meanwhile(cx, exchange, down).map_ok(stopped)
        })
        .await
    }

    /// Fills `{1}`, `{path}`, `{query}` and `{host}` of a template.
    pub(crate) fn expand(&self, template: &str, exchange: &Exchange) -> Vec<u8> {
        let head = &exchange.request.head;
        let values = Values {
            captures: self.captures,
            path: &self.matched,
            query: head.query(),
            host: head.authority(),
        };
        template::rewrite(template, &values)
    }

    /// The path below the route's own: what its last wildcard matched, or all of it.
    pub(crate) fn below(&self, exchange: &Exchange) -> Vec<u8> {
        match self.captures.len() {
            0 => exchange.request.head.path().to_vec(),
            last => self.captures.get(last, &self.matched).to_vec(),
        }
    }

    /// The client left before it had an answer.
    pub(crate) fn leave(&mut self, exchange: &mut Exchange, down: &mut dyn Downstream) {
        if let Some(pump) = &mut self.pump {
            pump.out.abort();
        }
        (self.error, exchange.response.head.status) = match self.closed {
            true => (Some("closed_by_filter"), CLOSED),
            false => (Some(GONE), CLIENT_GONE),
        };
        exchange.response.origin = Some(Origin::Gateway);
        self.learn(admission::End::Left);
        down.abort();
    }

    /// Whether filters may have something under way that outlives the answer: then why it did.
    pub(crate) fn end(&self) -> Option<End> {
        match self.error {
            Some(GONE) => Some(End::Gone),
            _ => self.chain.is_streaming().then_some(End::Delivered),
        }
    }

    /// Lets filters end what they have under way.
    pub(crate) async fn rest(&mut self, exchange: &mut Exchange, end: End) {
        let Some(_lingers) = self.inlet.worker.linger() else { return };
        self.limit(None);
        poll_fn(|cx| match self.chain.poll_rest(cx, exchange, end, &self.watch) {
            Poll::Pending => self.timer.poll(cx),
            Poll::Ready(()) => Poll::Ready(()),
        })
        .await;
    }

    /// The last phase: filters, then the access log and the metrics.
    pub(crate) async fn log(&mut self, exchange: &mut Exchange) {
        let worker = &self.inlet.worker;
        exchange.stats.duration = (worker.clock.elapsed() - self.started).as_secs_f64();
        exchange.stats.received = self.chain.received(exchange);
        self.chain.abandon();
        if self.chain.wants(Phase::Log) {
            self.timer.arm(LOG_TIME);
            poll_fn(|cx| match self.chain.poll(cx, Phase::Log, exchange, None, &self.watch) {
                Poll::Pending => self.timer.poll(cx),
                Poll::Ready(_) => Poll::Ready(()),
            })
            .await;
        }
        let generation = &self.local.generation;
        let figures = Figures {
            listener: self.inlet.listener.index,
            route: self.route,
            upstream: self.upstream,
            endpoint: self.lease.as_ref().filter(|_| worker.log.is_access_on()).map(Lease::address),
            error: self.error,
        };
        // A subrequest is part of its parent.
        if exchange.parent.is_none() {
            worker.metrics.exchange(&generation.series, &figures, exchange);
            worker.log.access(self.inlet, &figures, exchange);
        }
    }
}

/// The error of an exchange whose client left before it had its answer...
pub(crate) const GONE: &str = "client_gone";
/// The status in logs of an exchange that a filter broke off (nginx's).
const CLOSED: u16 = 444;
/// ... and its status in logs (nginx's).
pub(crate) const CLIENT_GONE: u16 = 499;
/// The longest wait of the log phase.
pub(crate) const LOG_TIME: Duration = Duration::from_secs(10);

/// Counts the exchange as open.
struct Open {
    worker: Rc<Worker>,
}

impl Open {
    fn new(worker: Rc<Worker>) -> Open {
        worker.idle.wake();
        worker.metrics.began();
        Open { worker }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.metrics.ended();
    }
}
