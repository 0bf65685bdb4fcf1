//! Which route a request takes: the most specific match wins.
//!
//! ```text
//!   host        exact, then the longest wildcard suffix, then none       host.rs, a hash
//!    └─ path    literal bytes; exact before a wildcard of the same length trie.rs, a radix tree
//!        └─ the rest   method, headers, query, listener: more conditions first   rule.rs
//! ```
//! A host whose routes all refuse the request hands it on to the next less specific one.
//!
//! All rules are sorted once, by what is told apart below the host; a rule's rank is its index.
//! So the tree only has to find the lowest rank that fits.

mod captures;
mod explain;
mod host;
mod pattern;
mod rule;
mod trie;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use pilotlight_config::manifest;

pub use captures::{Captures, MAX as MAX_CAPTURES};
pub use explain::{Reason, Why};
pub use host::name as host_name;

use host::Hosts;
use pattern::Pattern;
use rule::Rule;
use trie::{Builder, Search, Trie};

/// What is known of a request when its route is looked for.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The name of the listener it came through.
    pub listener: &'a str,
    /// As in `Host` or `:authority`: any case, perhaps with a port.
    pub host: &'a [u8],
    /// Canonical (see [`crate::path`]), without the query.
    pub path: &'a [u8],
    /// In its own case: methods are case-sensitive.
    pub method: &'a [u8],
    /// The first value of a field, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<&'a [u8]>,
    /// Raw, without the `?`.
    pub query: Option<&'a [u8]>,
}

/// The route that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// An index into the routes that the router was made of.
    pub route: usize,
    /// What each `*` of its path matched.
    pub captures: Captures,
}

/// All routes of a manifest.
#[derive(Debug)]
pub struct Router {
    hosts: Hosts,
    trie: Trie,
    /// By rank.
    rules: Vec<Rule>,
    names: HashMap<Arc<str>, usize, FixedState>,
    /// By route, for [`Router::explain`].
    plain: Vec<explain::Plain>,
}

impl Router {
    /// Sorts the routes. Internal ones are reached by name only.
    pub fn new(routes: &[manifest::Route]) -> Router {
        let mut order: Vec<(usize, Pattern)> = routes
            .iter()
            .enumerate()
            .filter(|(_, route)| !route.internal)
            .map(|(index, route)| (index, Pattern::new(route.matcher.path.as_deref())))
            .collect();
        // Stable: among equals the order of the manifest.
        order.sort_by_key(|(index, pattern)| {
            (pattern.specificity(), rule::specificity(&routes[*index].matcher))
        });

        let mut hosts = Hosts::default();
        let mut builder = Builder::default();
        let mut rules = Vec::with_capacity(order.len());
        for (rank, (index, pattern)) in order.iter().enumerate() {
            let matcher = &routes[*index].matcher;
            let table = hosts.table(matcher.host.as_deref());
            builder.insert(table, pattern, rank as u32);
            rules.push(Rule::new(*index, matcher));
        }
        Router {
            hosts,
            trie: builder.finish(),
            rules,
            names: routes.iter().enumerate().map(|(at, route)| (route.name.clone(), at)).collect(),
            plain: routes.iter().map(explain::Plain::new).collect(),
        }
    }

    /// The route of a request, if there is one. Allocates nothing.
    pub fn find(&self, query: &Query<'_>) -> Option<Match> {
        self.hosts.tables(query.host, |table| {
            let mut search = Search::new(&self.trie, &self.rules, query);
            let (rule, captures) = search.run(table)?;
            Some(Match { route: rule.route, captures: *captures })
        })
    }

    /// A route by its name, internal ones too.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Says of every route whether the request would take it, or what does not match.
    pub fn explain(&self, query: &Query<'_>) -> Vec<Why> {
        explain::explain(&self.plain, query, self.find(query).map(|found| found.route))
    }
}

#[cfg(test)]
pub(crate) mod tests;
