//! The way of an exchange, from its head to its log line: the same for every protocol.
//!
//! ```text
//! route ─▶ request chain ─▶ target ─▶ response chain ─▶ deliver ─▶ log
//! ```
//! The request's body is pumped beside all that follows the target's pick, both with backpressure.

mod deliver;
mod pump;
mod tunnel;
mod turn;
mod upstream;

use pilotlight_abi::Phase;
use pilotlight_config::manifest::Target;
use pilotlight_core::router::Query;
use pilotlight_core::{path, router};
use pilotlight_filter::{Exchange, Passed};

use self::turn::Turn;
use crate::answer::{self, Problem};
use crate::codec::Downstream;
use crate::worker::Inlet;
use crate::{files, forward};

/// What the log and the metrics want to know beside the exchange.
pub(crate) struct Figures {
    /// Indexes into the manifest.
    pub(crate) listener: usize,
    pub(crate) route: Option<usize>,
    pub(crate) upstream: Option<usize>,
    /// The endpoint's address.
    pub(crate) endpoint: Option<String>,
    /// Why it went wrong, in the words of RFC 9209.
    pub(crate) error: Option<&'static str>,
}

/// Drives one exchange: `exchange` holds the request; the response goes to `down`.
pub(crate) async fn drive(inlet: &Inlet, exchange: &mut Exchange, down: &mut dyn Downstream) {
    let mut turn = Turn::begin(inlet, exchange);
    match respond(&mut turn, exchange, down).await {
        Ok(Reached::Response) => turn.deliver(exchange, down).await,
        Ok(Reached::Tunnel(tunnel)) => Box::pin(turn.tunnel(exchange, down, *tunnel)).await,
        Err(Left) => turn.leave(exchange, down),
    }
    turn.log(exchange).await;
}

/// The client left before there was a response.
pub(crate) struct Left;

/// What stands at the end of the request's way.
enum Reached {
    /// A response stands in the exchange.
    Response,
    /// The upstream switched protocols.
    Tunnel(Box<tunnel::Switched>),
}

/// Brings a response into the exchange: a filter's, the target's, or a problem.
async fn respond(
    turn: &mut Turn<'_>,
    exchange: &mut Exchange,
    down: &mut dyn Downstream,
) -> Result<Reached, Left> {
    if let Err(problem) = admit(turn, exchange) {
        if turn.route().is_none() {
            // The exchange is used again: what stands there is the route of the one before.
            exchange.route = "".into();
        }
        answer::problem(exchange, problem);
        return Ok(Reached::Response);
    }
    let Some(route) = turn.route() else { return Ok(Reached::Response) };
    match turn.walk(Phase::Request, exchange, down).await? {
        Passed::Through => {}
        Passed::Replied => return Ok(Reached::Response),
        Passed::Failed => {
            answer::problem(exchange, FILTER_FAILED);
            return Ok(Reached::Response);
        }
    }
    let local = turn.local.clone();
    let route = &local.generation.manifest.routes[route];
    match &route.target {
        Target::Upstream(index) => return turn.proxy(exchange, down, route, *index).await,
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
        // The script is the last filter of the chain: here it had its say and did not answer.
        Target::Script(_) => answer::problem(exchange, NO_ANSWER),
    }
    Ok(Reached::Response)
}

/// The connection's certificate is not for this host (RFC 9110 section 15.5.20).
const MISDIRECTED: Problem =
    Problem::new(421, "this connection's certificate is not for this host")
        .proxy("http_request_error");
pub(crate) const FILTER_FAILED: Problem =
    Problem::new(500, "a filter failed").proxy("proxy_internal_error");
/// The route's time for the whole exchange ended while a filter had it.
const TOO_LATE: Problem =
    Problem::new(504, "the exchange took too long").proxy("http_response_timeout");
const NO_ANSWER: Problem =
    Problem::new(500, "the route's script did not answer").proxy("proxy_internal_error");

/// Checks the request's bounds, makes its path canonical, finds its route and starts its chain.
fn admit(turn: &mut Turn<'_>, exchange: &mut Exchange) -> Result<(), Problem> {
    let generation = turn.local.generation.clone();
    let settings = &generation.manifest.gateway.forwarded;
    let worker = &turn.inlet.worker;
    exchange.id = forward::request_id(exchange, settings, || worker.random());

    let head = &mut exchange.request.head;
    if let (Some(served), Some(tls)) = (&turn.inlet.listener.tls, &turn.inlet.peer.tls)
        && !served.covers(tls.server_name.as_deref(), head.host())
    {
        return Err(MISDIRECTED);
    }
    // `OPTIONS *` asks about the server as a whole (RFC 9110 section 7.1): no path to clean.
    if head.path() != b"*" && !path::is_canonical(head.path()) {
        let clean = path::canonicalise(head.path())
            .map_err(|_| Problem::new(400, "malformed path").proxy("http_request_error"))?;
        head.set_path(&clean).map_err(|_| Problem::new(400, "malformed path"))?;
    }
    let head = &exchange.request.head;
    let query = Query {
        listener: &turn.inlet.listener.name,
        host: head.authority(),
        path: head.path(),
        method: head.method_text(),
        header: &|name| head.fields.get(name.as_bytes()),
        query: head.query(),
        internal: false,
    };
    let found = generation.router.find(&query);
    let found =
        found.ok_or(Problem::new(404, "no route matches").proxy("destination_not_found"))?;
    let router::Match { route: index, captures } = found;
    let route = &generation.manifest.routes[index];
    exchange.route = route.name.clone();
    turn.take_route(index, route, captures, head.path());

    let most = route.body_bytes.unwrap_or(turn.inlet.listener.settings.limits.body_bytes);
    if exchange.request.body.length().is_some_and(|length| length > most) {
        return Err(TOO_LARGE);
    }
    if exchange.request.body.is_streaming() {
        exchange.request.body.limit(most);
    }
    if let Target::Upstream(upstream) = route.target {
        exchange.upstream = Some(generation.upstreams[upstream].meant.name.clone());
    }
    turn.chain = turn.local.chain(route);
    Ok(())
}

pub(crate) const TOO_LARGE: Problem =
    Problem::new(413, "the request's body is too large").proxy("http_request_error");
