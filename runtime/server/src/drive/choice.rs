//! Which server is asked, and whether another is when that went wrong.

use std::rc::Rc;

use pilotlight_abi::Phase;
use pilotlight_config::manifest::Route;
use pilotlight_core::retry::{self, Facts};
use pilotlight_filter::{Exchange, Failure, Passed};

use super::problems::problem;
use super::turn::Turn;
use super::{Left, Reached, failed};
use crate::admission::At;
use crate::answer::Problem;
use crate::codec::Downstream;
use crate::upstream::{Upstream, UpstreamError};

const UNKNOWN_UPSTREAM: Problem =
    Problem::new(500, "a filter chose an upstream that does not exist")
        .proxy("proxy_internal_error");

impl Turn<'_> {
    /// Asks the filters of the upstream phase: the route's upstream, the one that a filter chose, or
    /// the server that it picked.
    pub(super) async fn choose(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        target: usize,
    ) -> Result<Result<Rc<Upstream>, Reached>, Left> {
        (exchange.pick, exchange.handshake) = (None, None);
        match self.walk(Phase::Upstream, exchange, down).await? {
            Passed::Through => {}
            Passed::Replied => return Ok(Err(Reached::Response)),
            Passed::Failed | Passed::Rerouted | Passed::Closed => {
                let problem = failed(exchange);
                return Ok(Err(self.fail(exchange, problem)));
            }
        }
        let local = self.local.clone();
        let name = |index: usize| &*local.upstreams[index].shared.meant.name;
        let index = match exchange.upstream.as_deref() {
            Some(chosen) if chosen != name(target) => {
                let found = (0..local.upstreams.len()).find(|index| name(*index) == chosen);
                found.map(|index| self.of_several(exchange, index))
            }
            _ => Some(target),
        };
        let Some(index) = index else { return Ok(Err(self.fail(exchange, UNKNOWN_UPSTREAM))) };
        self.upstream = Some(index);
        if let Some(held) = self.knock(exchange, At::Upstream, index)
            && let Some(reached) = Box::pin(self.held_up(exchange, down, held)).await?
        {
            return Ok(Err(reached));
        }
        let upstream = local.upstreams[index].clone();
        let Some(pick) = &exchange.pick else { return Ok(Ok(upstream)) };
        self.more_tries = self.more_tries.saturating_add(pick.more_tries);
        let client_tls = &local.generation.client_tls;
        let picked = local.hosts.of_pick(&self.inlet.worker, client_tls, &upstream, pick);
        Ok(picked.map_err(|_| self.fail(exchange, problem(UpstreamError::Certificate))))
    }

    /// The upstream that a filter chose may lead to several.
    #[cold]
    fn of_several(&self, exchange: &mut Exchange, index: usize) -> usize {
        let fields = Some(&exchange.request.head.fields);
        let (target, _) = self.local.variant(index, fields, self.inlet.worker.random());
        if target != index {
            let name = &self.local.generation.manifest.upstreams[target].name;
            exchange.upstream = Some(name.clone());
        }
        target
    }

    /// Whether a try that failed is followed by another: filters that pick have tries to give, and the
    /// route has a policy.
    pub(super) fn tries_again(
        &mut self,
        route: &Route,
        facts: &Facts,
        failure: Option<Failure>,
    ) -> bool {
        let unanswered = failure.is_some_and(|failure| !failure.answered);
        if unanswered && self.more_tries > 0 && retry::is_harmless(facts) {
            self.more_tries -= 1;
            return true;
        }
        let now = self.inlet.worker.clock.millis();
        route.retry.as_ref().is_some_and(|policy| retry::allows(policy, facts))
            && self.route().is_some_and(|route| self.local.take_retry(route, now))
    }
}
