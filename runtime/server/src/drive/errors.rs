//! What a route's `errors` put in the place of an answer: another route's, or a redirect.

use bytes::Bytes;
use pilotlight_config::manifest::{ErrorPage, ErrorStatus, ErrorTarget};
use pilotlight_filter::{Body, Exchange, Method, Name, Origin};

use super::route;
use super::turn::Turn;
use crate::answer::{self, Problem};

/// Whether the answer stands in for another one. It is not replaced again then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Page {
    #[default]
    No,
    /// With its own status.
    Own,
    /// The client sees this status.
    Seen(u16),
}

/// Replaces the answer that stands in the exchange, when its route says so: then the request has begun
/// anew. An answer that a filter has written a body for is left as it is.
pub(super) fn replace(
    turn: &mut Turn<'_>,
    exchange: &mut Exchange,
) -> Option<Result<usize, Problem>> {
    match turn.page {
        Page::No => {}
        Page::Own => return None,
        Page::Seen(status) => {
            exchange.response.head.status = status;
            return None;
        }
    }
    let errors = &turn.local.generation.manifest.routes[turn.route()?].errors;
    let status = exchange.response.head.status;
    let ErrorPage { to, status: seen, .. } =
        errors.iter().find(|page| page.on.contains(&status))?.clone();
    if exchange.response.origin == Some(Origin::Filter) {
        if exchange.response.stock {
            exchange.response.head.fields.remove_known(Name::ContentType);
        } else if !exchange.response.body.is_done() {
            return None;
        }
        // What it said beside the status goes out with the page.
        exchange.early = Some(Box::new(std::mem::take(&mut exchange.response.head.fields)));
    }
    turn.give_up(exchange);
    exchange.response.origin = None;
    turn.page = match seen {
        ErrorStatus::Same => Page::Seen(status),
        ErrorStatus::Fixed(status) => Page::Seen(status),
        ErrorStatus::Own => Page::Own,
    };
    if !exchange.request.body.is_untouched() {
        // What has gone to an upstream does not come again.
        exchange.request.body = Body::empty();
    }
    match to {
        ErrorTarget::Url(url) => {
            let status = match turn.page {
                Page::Seen(status @ (301 | 302 | 303 | 307 | 308)) => status,
                _ => 302,
            };
            answer::fixed(exchange, status, [("location", url.as_str())], Bytes::new());
            return None;
        }
        ErrorTarget::Path(target) => show(exchange, &target),
        ErrorTarget::Route(name) => exchange.reroute = Some((*name).into()),
    }
    Some(route::reroute(turn, exchange))
}

/// Asks for a page instead of what was asked for.
fn show(exchange: &mut Exchange, target: &str) {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    exchange.keep_target();
    let head = &mut exchange.request.head;
    if head.method() != Method::Head {
        let _ = head.set_method(b"GET");
    }
    // A path that is none leaves the request where it was: the manifest's text is one.
    let _ = head.set_path(path.as_bytes());
    let _ = head.set_query(query.map(str::as_bytes));
}
