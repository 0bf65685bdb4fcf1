//! What a route asks for beside host and path.

use std::cmp::Reverse;

use pilotlight_config::manifest;

use super::Query;
use crate::query;

/// A route in the order of precedence.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) route: usize,
    /// Only scripts and error pages reach it.
    internal: bool,
    /// Most routes have none.
    conditions: Option<Box<Conditions>>,
}

/// Of the manifest's match, what is left when host and path fit.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    pub(super) listeners: Vec<String>,
    pub(super) methods: Vec<String>,
    /// Name and value; no value asks only that it is there.
    pub(super) headers: Vec<(String, Option<String>)>,
    pub(super) query: Vec<(String, Option<String>)>,
}

/// Sorts the one with more conditions first; then those that name methods, then listeners. To be
/// internal is a condition, too.
pub(super) fn specificity(route: &manifest::Route) -> impl Ord + use<> {
    let matcher = &route.matcher;
    let methods = !matcher.methods.is_empty();
    let listeners = !matcher.listeners.is_empty();
    let count = matcher.headers.len() + matcher.query.len();
    let count = count + usize::from(methods) + usize::from(listeners);
    let count = count + usize::from(route.internal);
    (Reverse(count), !methods, !listeners)
}

impl Rule {
    /// The rule of the route at `index`.
    pub(super) fn new(index: usize, route: &manifest::Route) -> Rule {
        let conditions = Conditions::new(&route.matcher);
        let conditions = (!conditions.is_empty()).then(|| Box::new(conditions));
        Rule { route: index, internal: route.internal, conditions }
    }

    #[inline]
    pub(super) fn fits(&self, query: &Query<'_>) -> bool {
        (query.internal || !self.internal)
            && self.conditions.as_ref().is_none_or(|conditions| conditions.fit(query))
    }
}

impl Conditions {
    pub(super) fn new(matcher: &manifest::Match) -> Conditions {
        let some = |(name, value): &(String, String)| {
            (name.clone(), (value != "*").then(|| value.clone()))
        };
        Conditions {
            listeners: matcher.listeners.clone(),
            methods: matcher.methods.clone(),
            headers: matcher.headers.iter().map(some).collect(),
            query: matcher.query.iter().map(some).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.listeners.is_empty()
            && self.methods.is_empty()
            && self.headers.is_empty()
            && self.query.is_empty()
    }

    fn fit(&self, query: &Query<'_>) -> bool {
        self.listener(query)
            && self.method(query)
            && self.headers.iter().all(|header| has_header(header, query))
            && self.query.iter().all(|pair| has_pair(pair, query))
    }

    pub(super) fn listener(&self, query: &Query<'_>) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|name| name == query.listener)
    }

    pub(super) fn method(&self, query: &Query<'_>) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|m| m.as_bytes() == query.method)
    }
}

pub(super) fn has_header((name, value): &(String, Option<String>), query: &Query<'_>) -> bool {
    (query.header)(name)
        .is_some_and(|found| value.as_ref().is_none_or(|value| value.as_bytes() == found))
}

pub(super) fn has_pair((name, value): &(String, Option<String>), query: &Query<'_>) -> bool {
    let value = value.as_deref().map(str::as_bytes);
    query.query.is_some_and(|text| query::has(text, name.as_bytes(), value))
}
