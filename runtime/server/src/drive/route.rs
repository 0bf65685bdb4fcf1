//! Which route a request takes: a client's, and where filters send it on to.

use pilotlight_abi::limit;
use pilotlight_config::manifest::Target;
use pilotlight_core::path;
use pilotlight_core::router::{Captures, Match, Query};
use pilotlight_filter::Exchange;

use super::TOO_LARGE;
use super::turn::Turn;
use crate::answer::Problem;
use crate::forward;

/// The connection's certificate is not for this host (RFC 9110 section 15.5.20).
const MISDIRECTED: Problem =
    Problem::new(421, "this connection's certificate is not for this host")
        .proxy("http_request_error");
const MALFORMED_PATH: Problem = Problem::new(400, "malformed path").proxy("http_request_error");
const NO_ROUTE: Problem = Problem::new(404, "no route matches").proxy("destination_not_found");
const NO_SUCH_ROUTE: Problem =
    Problem::new(500, "a filter named a route that does not exist").proxy("proxy_internal_error");
const CYCLE: Problem =
    Problem::new(500, "too many internal redirects").proxy("proxy_loop_detected");

/// Checks a request that has come, and finds its route by its index.
pub(super) fn admit(turn: &mut Turn<'_>, exchange: &mut Exchange) -> Result<usize, Problem> {
    if exchange.parent.is_none() {
        let settings = &turn.local.generation.manifest.gateway.forwarded;
        let worker = &turn.inlet.worker;
        exchange.id = forward::request_id(exchange, settings, || worker.random());
        if let (Some(served), Some(tls)) = (&turn.inlet.listener.tls, &turn.inlet.peer.tls)
            && !served.covers(tls.server_name.as_deref(), exchange.request.head.host())
        {
            return Err(MISDIRECTED);
        }
    }
    take(turn, exchange, true)
}

/// The route that the request has by now: its target is asked, when the chain has been walked.
#[cold]
pub(super) fn again(turn: &mut Turn<'_>, exchange: &mut Exchange) -> Result<usize, Problem> {
    take(turn, exchange, false)
}

/// Begins anew on the route that a filter wants.
pub(super) fn reroute(turn: &mut Turn<'_>, exchange: &mut Exchange) -> Result<usize, Problem> {
    if u64::from(exchange.reroutes) == limit::REROUTES {
        return Err(CYCLE);
    }
    exchange.reroutes += 1;
    take(turn, exchange, true)
}

/// Makes the path canonical, finds the route, and starts its chain (`anew`).
fn take(turn: &mut Turn<'_>, exchange: &mut Exchange, anew: bool) -> Result<usize, Problem> {
    let generation = turn.local.generation.clone();
    let head = &exchange.request.head;
    // `OPTIONS *` asks about the server as a whole (RFC 9110 section 7.1): no path to clean.
    if head.path() != b"*" && !path::is_canonical(head.path()) {
        exchange.keep_target();
        let head = &mut exchange.request.head;
        let clean = path::canonicalise(head.path()).map_err(|_| MALFORMED_PATH)?;
        head.set_path(&clean).map_err(|_| MALFORMED_PATH)?;
    }
    let head = &exchange.request.head;
    let Match { route: index, captures } = match exchange.reroute.take() {
        Some(name) => {
            let route = generation.router.by_name(&name).ok_or(NO_SUCH_ROUTE)?;
            Match { route, captures: Captures::default() }
        }
        None => {
            let query = Query {
                listener: &turn.inlet.listener.name,
                host: head.authority(),
                path: head.path(),
                method: head.method_text(),
                header: &|name| head.fields.get(name.as_bytes()),
                query: head.query(),
                internal: exchange.reroutes > 0 || exchange.parent.is_some(),
            };
            generation.router.find(&query).ok_or(NO_ROUTE)?
        }
    };
    let route = &generation.manifest.routes[index];
    exchange.route = route.name.clone();
    exchange.captures.clear();
    if route.matcher.regex.is_some() {
        let groups = captures.iter(head.path()).map(Box::from);
        exchange.captures.extend(std::iter::once(Box::from(head.path())).chain(groups));
    }
    turn.take_route(index, route, captures, head.path(), anew);

    let most = route.body_bytes.unwrap_or(turn.inlet.listener.settings.limits.body_bytes);
    if exchange.request.body.length().is_some_and(|length| length > most) {
        return Err(TOO_LARGE);
    }
    if exchange.request.body.is_streaming() {
        exchange.request.body.limit(most);
    }
    exchange.upstream = match route.target {
        Target::Upstream(index) | Target::Split(index) => {
            Some(generation.upstreams[index].meant.name.clone())
        }
        _ => None,
    };
    if anew {
        turn.chain.give_back(exchange);
        turn.chain = turn.local.chain(route);
    }
    Ok(index)
}
