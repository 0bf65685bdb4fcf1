//! The way of an exchange, from its head to its log line: the same for every protocol.
//!
//! ```text
//! route ─▶ request chain ─▶ target ─▶ response chain ─▶ deliver ─▶ rest ─▶ log
//!   ▲           │             │
//!   └───────────┴─────────────┘ a filter or an error page sends it on
//! ```
//! The request's body is pumped beside all that follows the target's pick, both with backpressure.

mod admit;
mod apart;
mod choice;
mod connect;
mod deliver;
mod errors;
mod handshake;
mod problems;
mod pump;
mod route;
mod split;
mod tunnel;
mod turn;
mod upstream;
mod watch;

use std::rc::Rc;

use pilotlight_abi::Phase;
use pilotlight_config::manifest::Target;
use pilotlight_filter::{Exchange, Passed};

pub(crate) use self::connect::connect;
pub(crate) use self::handshake::Stages;
pub(crate) use self::problems::word;
use self::turn::Turn;
pub(crate) use self::turn::{GONE, LOG_TIME};
pub(crate) use self::watch::Watch;
use crate::admission::At;
use crate::answer::{self, Problem};
use crate::codec::Downstream;
use crate::files;
use crate::generation::Local;
use crate::worker::Inlet;

/// What the log and the metrics want to know beside the exchange.
pub(crate) struct Figures {
    /// Indexes into the manifest.
    pub(crate) listener: usize,
    pub(crate) route: Option<usize>,
    pub(crate) upstream: Option<usize>,
    /// The endpoint's address.
    pub(crate) endpoint: Option<Rc<str>>,
    /// Why it went wrong, in the words of RFC 9209.
    pub(crate) error: Option<&'static str>,
}

/// Drives one exchange in a generation: `exchange` holds the request; the response goes to `down`.
pub(crate) async fn drive(
    inlet: &Inlet,
    local: Rc<Local>,
    exchange: &mut Exchange,
    down: &mut dyn Downstream,
) {
    let mut turn = Turn::begin(inlet, local, exchange);
    let worker = &inlet.worker;
    // A subrequest is a part of an exchange that has begun.
    if exchange.parent.is_none() && !worker.pace.begins(turn.started) {
        Box::pin(worker.pace.wait(worker.clock)).await;
    }
    let mut found = Some(route::admit(&mut turn, exchange));
    while let Some(route) = found.take() {
        match respond(&mut turn, exchange, down, route).await {
            Ok(None) => {
                turn.answered(exchange);
                found = turn.deliver(exchange, down).await;
            }
            Ok(Some(tunnel)) => Box::pin(turn.tunnel(exchange, down, *tunnel)).await,
            Err(Left) => turn.leave(exchange, down),
        }
    }
    if let Some(end) = turn.end() {
        Box::pin(turn.rest(exchange, end)).await;
    }
    turn.log(exchange).await;
    // An idle connection keeps its exchange for the next request: nothing of this one's scripts.
    exchange.kept.clear();
}

/// The client left before there was a response.
pub(crate) struct Left;

/// Where a request's way has led.
enum Reached {
    /// A response stands in the exchange.
    Response,
    /// The upstream switched protocols.
    Tunnel(Box<tunnel::Switched>),
    /// A filter sends the request on.
    Elsewhere,
}

/// Brings a response into the exchange, perhaps with a tunnel behind it. Filters and error pages may
/// send the request on to another route, where all begins anew.
async fn respond(
    turn: &mut Turn<'_>,
    exchange: &mut Exchange,
    down: &mut dyn Downstream,
    mut found: Result<usize, Problem>,
) -> Result<Option<Box<tunnel::Switched>>, Left> {
    loop {
        let reached = match found {
            Ok(route) => reach(turn, exchange, down, route).await?,
            Err(problem) => {
                if turn.route().is_none() {
                    // The exchange is used again: what stands there is the route of the one before.
                    exchange.route = "".into();
                }
                answer::problem(exchange, problem);
                Reached::Response
            }
        };
        found = match reached {
            Reached::Elsewhere => route::reroute(turn, exchange),
            Reached::Tunnel(tunnel) => return Ok(Some(tunnel)),
            Reached::Response => match errors::replace(turn, exchange) {
                Some(found) => found,
                None => return Ok(None),
            },
        };
    }
}

/// Has a route answer: a filter of its chain, its target, or the gateway with a problem.
async fn reach(
    turn: &mut Turn<'_>,
    exchange: &mut Exchange,
    down: &mut dyn Downstream,
    route: usize,
) -> Result<Reached, Left> {
    if let Some(held) = turn.knock(exchange, At::Route, route)
        && let Some(reached) = Box::pin(turn.held_up(exchange, down, held)).await?
    {
        return Ok(reached);
    }
    match turn.walk(Phase::Request, exchange, down).await? {
        Passed::Through => {}
        Passed::Replied => return Ok(Reached::Response),
        Passed::Rerouted => return Ok(Reached::Elsewhere),
        Passed::Closed => return Err(Left),
        Passed::Failed => {
            let problem = failed(exchange);
            answer::problem(exchange, problem);
            return Ok(Reached::Response);
        }
    }
    let route = match std::mem::take(&mut exchange.rematch) {
        false => route,
        true => match route::again(turn, exchange) {
            Ok(route) => route,
            Err(problem) => {
                answer::problem(exchange, problem);
                return Ok(Reached::Response);
            }
        },
    };
    let local = turn.local.clone();
    let route = &local.generation.manifest.routes[route];
    let takes_body =
        matches!(route.target, Target::Upstream(_) | Target::Split(_) | Target::Script(_));
    if !takes_body
        && turn.chain.wants(Phase::RequestBody)
        && let Err(error) = Box::pin(turn.drain(exchange, down)).await?
    {
        return turn.broke(exchange, error);
    }
    match &route.target {
        Target::Upstream(index) => return turn.proxy(exchange, down, route, *index).await,
        Target::Split(index) => {
            return Box::pin(turn.split(exchange, down, route, *index)).await;
        }
        Target::Respond(fixed) => {
            let fields = fixed.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            let body = bytes::Bytes::copy_from_slice(&fixed.body);
            answer::fixed(exchange, fixed.status, fields, body);
        }
        Target::Redirect(redirect) => {
            let to = turn.expand(&redirect.to, exchange);
            let to = String::from_utf8_lossy(&to);
            answer::fixed(exchange, redirect.status, [("location", &*to)], bytes::Bytes::new());
        }
        Target::Files(files) => {
            let below = turn.below(exchange);
            Box::pin(files::serve(exchange, files, &below)).await;
        }
        // The script is a filter of the chain: here it had its say and did not answer.
        Target::Script(_) => answer::problem(exchange, NO_ANSWER),
    }
    Ok(Reached::Response)
}

/// What a client is told of a filter's failure.
fn failed(exchange: &mut Exchange) -> Problem {
    if std::mem::take(&mut exchange.busy) { FILTER_BUSY } else { FILTER_FAILED }
}

const FILTER_BUSY: Problem = Problem {
    retry_after: Some(1),
    ..Problem::new(503, "a filter has no room for the exchange").proxy("proxy_internal_error")
};
pub(crate) const FILTER_FAILED: Problem =
    Problem::new(500, "a filter failed").proxy("proxy_internal_error");
/// The route's time for the whole exchange ended while a filter had it.
const TOO_LATE: Problem =
    Problem::new(504, "the exchange took too long").proxy("http_response_timeout");
const NO_ANSWER: Problem =
    Problem::new(500, "the route's script did not answer").proxy("proxy_internal_error");

pub(crate) const TOO_LARGE: Problem =
    Problem::new(413, "the request's body is too large").proxy("http_request_error");

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
