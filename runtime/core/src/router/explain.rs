//! Why a request takes a route, and not the others: for people, so slow and simple.

use std::fmt;
use std::sync::Arc;

use pilotlight_config::manifest::{self, PathRegex};

use super::pattern::Pattern;
use super::rule::{Conditions, has_header, has_pair};
use super::{Query, by_name_only, host_name};

/// What became of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// An index into the routes.
    pub route: usize,
    /// Its name.
    pub name: Arc<str>,
    /// What decided.
    pub reason: Reason,
}

/// The first thing that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The request takes this route.
    Chosen,
    /// It would match, if another route were not more specific.
    LessSpecific {
        /// The other route's name.
        than: Arc<str>,
    },
    /// Only scripts reach it.
    Internal,
    /// It is for other listeners, these.
    Listener(Vec<String>),
    /// It is for another host, this one.
    Host(String),
    /// It is for another path, this one.
    Path(String),
    /// It is for paths that this expression matches.
    Regex(String),
    /// It is for other methods, these.
    Method(Vec<String>),
    /// It asks for a field, with a value or any.
    Header(String, Option<String>),
    /// It asks for a pair of the query, with a value or any.
    Query(String, Option<String>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "*".into());
        match self {
            Reason::Chosen => write!(f, "matches"),
            Reason::LessSpecific { than } => write!(f, "{than:?} is more specific"),
            Reason::Internal => write!(f, "internal: only scripts reach it"),
            Reason::Listener(names) => write!(f, "listener is not {}", names.join(" or ")),
            Reason::Host(host) => write!(f, "host is not {host}"),
            Reason::Path(path) => write!(f, "path is not {path}"),
            Reason::Regex(regex) => write!(f, "path does not match {regex}"),
            Reason::Method(methods) => write!(f, "method is not {}", methods.join(" or ")),
            Reason::Header(name, wanted) => write!(f, "header is not {name}: {}", value(wanted)),
            Reason::Query(name, wanted) => write!(f, "query has no {name}={}", value(wanted)),
        }
    }
}

/// A route's match as it is read by people.
#[derive(Debug)]
pub(super) struct Plain {
    name: Arc<str>,
    internal: bool,
    by_name_only: bool,
    host: Option<String>,
    path: Option<String>,
    regex: Option<PathRegex>,
    conditions: Conditions,
}

impl Plain {
    pub(super) fn new(route: &manifest::Route) -> Plain {
        Plain {
            name: route.name.clone(),
            internal: route.internal,
            by_name_only: by_name_only(route),
            host: route.matcher.host.clone(),
            path: route.matcher.path.clone(),
            regex: route.matcher.regex.clone(),
            conditions: Conditions::new(&route.matcher),
        }
    }

    /// What keeps the route from matching.
    fn obstacle(&self, query: &Query<'_>) -> Option<Reason> {
        if self.by_name_only || (self.internal && !query.internal) {
            return Some(Reason::Internal);
        }
        if !self.conditions.listener(query) {
            return Some(Reason::Listener(self.conditions.listeners.clone()));
        }
        if let Some(host) = self.host.as_ref().filter(|host| !fits_host(host, query.host)) {
            return Some(Reason::Host(host.clone()));
        }
        let path = self.path.as_ref();
        if let Some(path) = path.filter(|path| !Pattern::new(Some(path)).fits(query.path)) {
            return Some(Reason::Path(path.clone()));
        }
        let regex = self.regex.as_ref();
        if let Some(regex) = regex.filter(|regex| !regex.captures(query.path, |_| {})) {
            return Some(Reason::Regex(regex.text().to_owned()));
        }
        if !self.conditions.method(query) {
            return Some(Reason::Method(self.conditions.methods.clone()));
        }
        let header = self.conditions.headers.iter().find(|header| !has_header(header, query));
        if let Some((name, value)) = header {
            return Some(Reason::Header(name.clone(), value.clone()));
        }
        let pair = self.conditions.query.iter().find(|pair| !has_pair(pair, query));
        pair.map(|(name, value)| Reason::Query(name.clone(), value.clone()))
    }
}

pub(super) fn explain(
    routes: &[manifest::Route],
    query: &Query<'_>,
    chosen: Option<usize>,
) -> Vec<Why> {
    let routes: Vec<Plain> = routes.iter().map(Plain::new).collect();
    let chosen = chosen.and_then(|index| Some((index, routes.get(index)?.name.clone())));
    let reason = |index: usize, route: &Plain| match (route.obstacle(query), &chosen) {
        (Some(obstacle), _) => obstacle,
        (None, Some((other, name))) if *other != index => {
            Reason::LessSpecific { than: name.clone() }
        }
        (None, _) => Reason::Chosen,
    };
    let routes = routes.iter().enumerate();
    routes
        .map(|(index, route)| Why {
            route: index,
            name: route.name.clone(),
            reason: reason(index, route),
        })
        .collect()
}

fn fits_host(pattern: &str, raw: &[u8]) -> bool {
    let host = host_name(raw).to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_bytes()),
        None => host == pattern.as_bytes(),
    }
}
