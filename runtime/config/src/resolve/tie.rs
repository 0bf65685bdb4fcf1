//! Routes that tie: neither match is more specific than the other, and a request can fit both.

use crate::manifest::{Match, Route};
use crate::place::Place;
use crate::raw::{self, At};
use crate::report::Problem;
use crate::typed::Scene;

/// Reports each route that ties with one before it.
pub(super) fn report(routes: &[Route], raw: &[At<raw::Route>], scene: &mut Scene<'_>) {
    for (at, route) in routes.iter().enumerate() {
        let tied = |first: &&Route| tie(first, route) && whole(first, raw) && whole(route, raw);
        if let Some(first) = routes[..at].iter().find(tied) {
            let message = format!(
                "duplicate route: {:?} matches the same requests as {:?}",
                route.name, first.name
            );
            let problem = Problem::error(place(route, raw), message);
            scene.report.push(problem.also("the first one is here", place(first, raw)));
        }
    }
}

/// Where the match is written, or else the route.
fn place<'r>(route: &'r Route, raw: &'r [At<raw::Route>]) -> &'r Place {
    let table = raw.iter().find(|table| table.place == route.place);
    table.and_then(|table| table.r#match.as_ref()).map_or(&route.place, |matcher| &matcher.key)
}

/// Whether all of its match could be read: what is missing may tell it from others.
fn whole(route: &Route, raw: &[At<raw::Route>]) -> bool {
    let table = raw.iter().find(|table| table.place == route.place);
    table.is_some_and(|table| match &table.r#match {
        Some(matcher) => {
            !matcher.broken && matcher.regex.is_some() == route.matcher.regex.is_some()
        }
        None => !table.broken,
    })
}

/// An internal route is more specific than one that is not; without a match, only its name leads
/// to it.
fn tie(a: &Route, b: &Route) -> bool {
    let by_name = |route: &Route| route.internal && route.matcher == Match::default();
    a.internal == b.internal && !by_name(a) && !by_name(b) && same_requests(&a.matcher, &b.matcher)
}

/// The same host, path, headers and query; of methods and listeners, both name none, or both name
/// some and share one. A route that names some is more specific than one that does not.
fn same_requests(a: &Match, b: &Match) -> bool {
    a.host == b.host
        && a.path == b.path
        && a.regex == b.regex
        && a.headers == b.headers
        && a.query == b.query
        && overlap(&a.methods, &b.methods)
        && overlap(&a.listeners, &b.listeners)
}

fn overlap(a: &[String], b: &[String]) -> bool {
    (a.is_empty() && b.is_empty()) || a.iter().any(|item| b.contains(item))
}
