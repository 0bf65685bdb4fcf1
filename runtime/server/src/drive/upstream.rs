//! The target `upstream`: pick an endpoint, send the request, wait for the response's head, and
//! try again where that is safe.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use pilotlight_abi::Phase;
use pilotlight_config::manifest::Route;
use pilotlight_core::retry::{self, Facts, Reason};
use pilotlight_filter::exchange::Server;
use pilotlight_filter::{Body, Exchange, Failure, Method, Name, Origin};

use super::problems::{broken, problem, reason, word};
use super::pump::{Pump, PumpError};
use super::tunnel::Switched;
use super::turn::Turn;
use super::{Left, Reached};
use crate::answer::{self, Problem};
use crate::apps::Did;
use crate::codec::{Downstream, Length};
use crate::forward;
use crate::upstream::{Incoming, Lease, Upstream, UpstreamError, Way};

/// Interim responses that one exchange may have.
const INTERIM_MAX: u32 = 8;

/// Instances that may turn out to be gone when an exchange comes to them.
const REFUSALS: u8 = 3;

/// How a try ended.
enum Tried {
    Answered(Body),
    Switched(Box<Switched>),
    Failed(UpstreamError),
    Broken(PumpError),
    TimedOut {
        /// It was the endpoint that was waited for, not the client's body.
        silent: bool,
    },
}

impl Tried {
    /// What the upstream phase is told when another try follows.
    fn failure(&self, status: u16) -> Option<Failure> {
        Some(match self {
            Tried::Answered(_) => Failure { answered: true, status },
            Tried::Failed(error) => Failure { answered: false, status: error.status() },
            Tried::TimedOut { .. } => Failure { answered: false, status: 504 },
            Tried::Switched(_) | Tried::Broken(_) => return None,
        })
    }

    /// What it says of the endpoint: nothing, where it is ours, or has not reached it.
    fn is_well(&self, status: u16) -> Option<bool> {
        match self {
            Tried::Answered(_) => Some(status < 500),
            Tried::Switched(_) => Some(true),
            Tried::Broken(_)
            | Tried::Failed(
                UpstreamError::Limit
                | UpstreamError::NotTaken
                | UpstreamError::Closed { fresh: false },
            ) => None,
            Tried::TimedOut { silent } => silent.then_some(false),
            Tried::Failed(_) => Some(false),
        }
    }
}

impl Turn<'_> {
    pub(super) async fn proxy(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        route: &Route,
        target: usize,
    ) -> Result<Reached, Left> {
        (exchange.failure, self.more_tries, self.refusals) = (None, 0, 0);
        let mut upstream = match self.choose(exchange, down, target).await? {
            Ok(upstream) => upstream,
            Err(reached) => return Ok(reached),
        };
        if forward::is_last_hop(&mut exchange.request.head) {
            return Ok(self.end_here(exchange));
        }
        self.rewrite(exchange, route);
        let settings = &self.local.generation.manifest.gateway.forwarded;
        forward::request(exchange, settings, &self.inlet.peer.text);

        if let (Some(index), Some(_)) = (self.route(), &route.retry) {
            self.local.earn_retry(index, self.inlet.worker.clock.millis());
        }
        let mut tried = Vec::new();
        let mut refreshed = false;
        loop {
            let lease = match &upstream.shared.way {
                Way::Plain => upstream.lease(&self.inlet.worker, &tried),
                Way::Watched(roster) if roster.is_known() => {
                    upstream.elect(&self.inlet.worker, roster, &tried)
                }
                Way::Watched(_) | Way::App(_) => Box::pin(self.enter(down, &upstream)).await?,
            };
            let lease = match lease {
                Ok(lease) => lease,
                Err(error) => return Ok(self.fail(exchange, problem(error))),
            };
            let number = lease.number;
            if !self.chain.is_empty() {
                let server = Server { address: lease.address(), link: None, failure: "" };
                exchange.server = Some(Box::new(server));
            }
            let asked = self.inlet.worker.clock.elapsed();
            let (outcome, begun) = self.attempt(exchange, down, route, lease, refreshed).await?;
            exchange.stats.upstream = (self.inlet.worker.clock.elapsed() - asked).as_secs_f64();
            if let (Tried::Failed(error), Some(server)) = (&outcome, &mut exchange.server) {
                server.failure = word(*error);
            }
            let facts = Facts {
                idempotent: exchange.request.head.method().is_idempotent(),
                body_sent: !exchange.request.body.is_untouched(),
                reason: match &outcome {
                    Tried::Answered(_) => Reason::Status(exchange.response.head.status),
                    Tried::Failed(error) => reason(*error),
                    Tried::TimedOut { .. } => Reason::Status(504),
                    Tried::Switched(_) | Tried::Broken(_) => Reason::Status(0),
                },
                attempts: exchange.stats.retries + 1,
            };
            let stale = matches!(
                outcome,
                Tried::Failed(UpstreamError::Closed { fresh: false } | UpstreamError::NotTaken)
            );
            let lost = match &upstream.shared.way {
                Way::Plain => false,
                _ => {
                    let status = exchange.response.head.status;
                    self.testify(&upstream, number, &outcome, status, tried.len())
                }
            };
            if stale && !refreshed && retry::refreshes(&facts, begun) || lost {
                refreshed |= stale;
                tried.extend(lost.then_some(number));
                exchange.stats.retries += 1;
                self.give_up(exchange);
                continue;
            }
            let failure = outcome.failure(exchange.response.head.status);
            if self.tries_again(route, &facts, failure) {
                exchange.failure = failure;
                exchange.stats.retries += 1;
                self.give_up(exchange);
                let before = upstream;
                upstream = match self.choose(exchange, down, target).await? {
                    Ok(upstream) => upstream,
                    Err(reached) => return Ok(reached),
                };
                tried.push(number);
                if tried.len() >= before.shared.width() || !Rc::ptr_eq(&before, &upstream) {
                    // Everyone had a turn, or these are others: a round begins.
                    tried.clear();
                }
                continue;
            }
            match outcome {
                Tried::Answered(body) => {
                    exchange.stats.upstream_status = exchange.response.head.status;
                    exchange.response.body = body;
                    exchange.response.origin = Some(Origin::Upstream);
                    return Ok(Reached::Response);
                }
                Tried::Switched(switched) => {
                    exchange.response.origin = Some(Origin::Upstream);
                    return Ok(Reached::Tunnel(switched));
                }
                Tried::Broken(error) => return self.broke(exchange, error),
                Tried::TimedOut { .. } => {
                    return Ok(self.fail(exchange, problem(UpstreamError::ResponseTimeout)));
                }
                Tried::Failed(error) => return Ok(self.fail(exchange, problem(error))),
            }
        }
    }

    /// Waits for an instance of an application, and for a place there.
    #[cold]
    async fn enter(
        &mut self,
        down: &mut dyn Downstream,
        upstream: &Rc<Upstream>,
    ) -> Result<Result<Lease, UpstreamError>, Left> {
        let worker = self.inlet.worker.clone();
        let mut entering = pin!(upstream.reach(&worker, &[]));
        poll_fn(|cx| {
            if let Poll::Ready(entered) = entering.as_mut().poll(cx) {
                return Poll::Ready(Ok(entered));
            }
            if self.timer.poll(cx).is_ready() {
                return Poll::Ready(Ok(Err(UpstreamError::NotReady)));
            }
            down.poll_gone(cx).map(|()| Err(Left))
        })
        .await
    }

    /// Says how an instance or a watched endpoint did. True: it took no connection, and the next one is asked:
    /// another instance, or what else its name stands for.
    fn testify(
        &mut self,
        upstream: &Upstream,
        number: usize,
        outcome: &Tried,
        status: u16,
        tried: usize,
    ) -> bool {
        let app = match &upstream.shared.way {
            Way::Plain => return false,
            Way::Watched(roster) => {
                let answer = outcome.is_well(status);
                answer.into_iter().for_each(|well| upstream.saw(&self.inlet.worker, number, well));
                let refused = matches!(outcome, Tried::Failed(UpstreamError::Refused));
                let more = tried + 1 < roster.ready() && self.refusals < REFUSALS;
                let asks = refused && more && roster.is_sought();
                self.refusals += u8::from(asks);
                return asks;
            }
            Way::App(app) => app,
        };
        let did = match outcome {
            Tried::Failed(UpstreamError::Refused) => Did::Refuse,
            Tried::Failed(UpstreamError::ConnectTimeout) | Tried::TimedOut { silent: true } => {
                Did::Silence
            }
            Tried::Failed(_) | Tried::Broken(_) | Tried::TimedOut { .. } => return false,
            Tried::Answered(_) | Tried::Switched(_) => Did::Answer,
        };
        app.tell(number as u64, did);
        let asks = did == Did::Refuse && self.refusals < REFUSALS;
        self.refusals += u8::from(asks);
        asks
    }

    /// One try at one endpoint. The flag says whether bytes of the request may have arrived.
    async fn attempt(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        route: &Route,
        mut lease: Lease,
        fresh: bool,
    ) -> Result<(Tried, bool), Left> {
        let apart = self.is_apart(exchange) && lease.is_secure();
        let reused = if fresh || apart { None } else { lease.reuse() };
        let mut out = match reused {
            Some(out) => out,
            None if apart => match Box::pin(self.meet(exchange, down, &mut lease)).await? {
                Ok(out) => out,
                Err(error) => return Ok((Tried::Failed(error), false)),
            },
            None => {
                let mut connecting = Box::pin(lease.connect(fresh));
                let connected = poll_fn(|cx| {
                    if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                        return Poll::Ready(Ok(connected));
                    }
                    if self.timer.poll(cx).is_ready() {
                        return Poll::Ready(Ok(Err(UpstreamError::ConnectTimeout)));
                    }
                    down.poll_gone(cx).map(|()| Err(Left))
                });
                match connected.await? {
                    Ok(out) => out,
                    Err(error) => return Ok((Tried::Failed(error), false)),
                }
            }
        };
        let first_byte = lease.first_byte(route.upstream_timeout);
        self.lease = Some(lease);
        if let Some(server) = &mut exchange.server {
            server.link = Some(out.link());
        }
        let changes =
            self.chain.wants(Phase::RequestBody) || exchange.request.body.trailers().is_some();
        let length = match exchange.request.body.length() {
            Some(0) if exchange.request.body.is_done() => match exchange.request.head.method() {
                Method::Post | Method::Put | Method::Patch => Length::Exact(0),
                _ => Length::None,
            },
            Some(length) if !changes => Length::Exact(length),
            _ => Length::Unknown,
        };
        let upgrade = exchange.request.upgrade.as_deref();
        if let Err(error) = out.head(&exchange.request.head, length, upgrade) {
            return Ok((Tried::Failed(error), false));
        }
        self.pump = Some(Pump::new(out));
        let outcome = self.first_head(exchange, down, first_byte).await?;
        let begun = self.pump.as_ref().is_none_or(|pump| pump.begun);
        self.limit(None);
        if !matches!(outcome, Tried::Answered(_)) {
            // Dropping the connection is what cancels the request at the other end.
            if let Some(mut pump) = self.pump.take() {
                pump.out.abort();
            }
        }
        Ok((outcome, begun))
    }

    /// Pumps the request and waits for the response's final head.
    async fn first_head(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        first_byte: std::time::Duration,
    ) -> Result<Tried, Left> {
        let mut interim = 0;
        let mut waiting = false;
        poll_fn(|cx| {
            let Some(pump) = &mut self.pump else {
                return Poll::Ready(Ok(Tried::Failed(UpstreamError::Protocol)));
            };
            let mut broken = None;
            if !pump.is_done() {
                match pump.poll(cx, exchange, &mut self.chain, &self.watch) {
                    Poll::Ready(Err(PumpError::Upstream(error))) => broken = Some(error),
                    Poll::Ready(Err(error)) => return Poll::Ready(Ok(Tried::Broken(error))),
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
            }
            if let Some(stopped) = self.aside(cx, exchange).and_then(PumpError::stopped) {
                return Poll::Ready(Ok(Tried::Broken(stopped)));
            }
            while let Some(pump) = &mut self.pump {
                match pump.out.poll_response(cx, &mut exchange.response.head) {
                    Poll::Ready(Ok(Incoming::Interim)) => {
                        interim += 1;
                        if interim > INTERIM_MAX {
                            return Poll::Ready(Ok(Tried::Failed(UpstreamError::Protocol)));
                        }
                        // A 100 was for us: we answer the client's own expectation ourselves.
                        if exchange.response.head.status != 100 {
                            down.interim(&exchange.response.head);
                        }
                    }
                    Poll::Ready(Ok(Incoming::Final(body))) => {
                        return Poll::Ready(Ok(Tried::Answered(body)));
                    }
                    Poll::Ready(Ok(Incoming::Switched(stream, rest))) => {
                        return Poll::Ready(Ok(match is_as_asked(exchange) {
                            true => Tried::Switched(Box::new(Switched { stream, rest })),
                            false => Tried::Failed(UpstreamError::Protocol),
                        }));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Ok(Tried::Failed(error))),
                    Poll::Pending => break,
                }
            }
            if let Some(error) = broken {
                return Poll::Ready(Ok(Tried::Failed(error)));
            }
            if !waiting && self.pump.as_ref().is_some_and(Pump::is_done) {
                waiting = true;
                self.limit(Some(first_byte));
            }
            if self.timer.poll(cx).is_ready() {
                return Poll::Ready(Ok(Tried::TimedOut { silent: waiting }));
            }
            if down.queued() > 0 {
                let _ = down.poll_flush(cx);
            }
            down.poll_gone(cx).map(|()| Err(Left))
        })
        .await
    }

    /// Drops a try and what came of it.
    pub(super) fn give_up(&mut self, exchange: &mut Exchange) {
        if let Some(mut pump) = self.pump.take() {
            pump.out.abort();
        }
        self.lease = None;
        exchange.response.head.fields.clear();
        exchange.response.body = Body::empty();
    }

    fn rewrite(&self, exchange: &mut Exchange, route: &Route) {
        if let Some(template) = &route.rewrite {
            let target = self.expand(template, exchange);
            let mark = memchr::memchr(b'?', &target);
            let (path, query) = match mark {
                Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
                None => (&target[..], None),
            };
            let head = &mut exchange.request.head;
            // A capture that makes no path leaves the path as it was: the manifest's template is one.
            if head.set_path(path).is_ok() && query.is_some() {
                let _ = head.set_query(query);
            }
        }
    }

    /// Answers a TRACE or OPTIONS request that may go no further.
    fn end_here(&mut self, exchange: &mut Exchange) -> Reached {
        if exchange.request.head.method() != Method::Options {
            return self.fail(exchange, NO_TRACE);
        }
        answer::fixed(exchange, 200, [], Bytes::new());
        Reached::Response
    }

    /// Ends what came of a request whose body did not come through.
    pub(super) fn broke(
        &mut self,
        exchange: &mut Exchange,
        error: PumpError,
    ) -> Result<Reached, Left> {
        match error {
            PumpError::Replied => Ok(Reached::Response),
            PumpError::Closed => {
                self.closed = true;
                Err(Left)
            }
            error => Ok(self.fail(exchange, broken(error))),
        }
    }

    /// Answers with a problem.
    pub(super) fn fail(&mut self, exchange: &mut Exchange, problem: Problem) -> Reached {
        if !problem.proxy_error.is_empty() {
            self.error = Some(problem.proxy_error);
        }
        answer::problem(exchange, problem);
        Reached::Response
    }
}

const NO_TRACE: Problem = Problem::new(501, "TRACE is not offered").proxy("http_request_error");

/// Whether the upstream switched to what the client had asked for (RFC 9110 section 7.8).
fn is_as_asked(exchange: &Exchange) -> bool {
    let to = exchange.response.head.fields.known(Name::Upgrade).unwrap_or_default();
    let asked = exchange.request.upgrade.as_deref().unwrap_or_default();
    let mut asked = asked.split(',').map(|protocol| protocol.trim().as_bytes());
    !to.is_empty() && asked.any(|protocol| protocol.eq_ignore_ascii_case(to))
}
