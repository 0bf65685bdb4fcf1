//! Which route a request takes: the most specific match wins.
//!
//! ```text
//!   host        exact, then the longest wildcard suffix, then none       host.rs, a hash
//!    └─ path    exact, then expressions, then wildcards by literal bytes trie.rs, a radix tree
//!        └─ the rest   method, headers, query, listener: more conditions first   rule.rs
//! ```
//! Of expressions the first in the manifest wins, whatever its conditions are.
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
use pilotlight_config::manifest::{self, PathRegex};

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
    /// A script or an error page asks, not a client: internal routes count, too.
    pub internal: bool,
}

/// The route that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// An index into the routes that the router was made of.
    pub route: usize,
    /// What each `*` of its path matched, or each group of its expression.
    pub captures: Captures,
}

/// All routes of a manifest.
#[derive(Debug)]
pub struct Router {
    hosts: Hosts,
    trie: Trie,
    /// By table of hosts; ranks ascend.
    expressions: Vec<Vec<(u32, PathRegex)>>,
    /// By rank.
    rules: Vec<Rule>,
    names: HashMap<Arc<str>, usize, FixedState>,
}

impl Router {
    /// Sorts the routes.
    pub fn new(routes: &[manifest::Route]) -> Router {
        let mut order: Vec<(usize, Way)> = routes
            .iter()
            .enumerate()
            .filter(|(_, route)| !by_name_only(route))
            .map(|(index, route)| (index, Way::of(&route.matcher)))
            .collect();
        // Stable: among equals, as expressions all are, the order of the manifest.
        order.sort_by_key(|(index, way)| match way {
            Way::Pattern(pattern) => {
                let class = if pattern.is_exact() { 0 } else { 2 };
                let rest = rule::specificity(&routes[*index]);
                (class, Some((pattern.specificity(), rest)))
            }
            Way::Expression(_) => (1, None),
        });

        let mut hosts = Hosts::default();
        let mut builder = Builder::default();
        let mut expressions: Vec<Vec<(u32, PathRegex)>> = Vec::new();
        let mut rules = Vec::with_capacity(order.len());
        for (rank, (index, way)) in order.into_iter().enumerate() {
            let route = &routes[index];
            let table = hosts.table(route.matcher.host.as_deref());
            match way {
                Way::Pattern(pattern) => builder.insert(table, &pattern, rank as u32),
                Way::Expression(regex) => {
                    let table = table as usize;
                    expressions.resize_with(expressions.len().max(table + 1), Vec::new);
                    expressions[table].push((rank as u32, regex));
                }
            }
            rules.push(Rule::new(index, route));
        }
        Router {
            hosts,
            trie: builder.finish(),
            expressions,
            rules,
            names: routes.iter().enumerate().map(|(at, route)| (route.name.clone(), at)).collect(),
        }
    }

    /// The route of a request, if there is one. Allocates nothing, but for expressions.
    pub fn find(&self, query: &Query<'_>) -> Option<Match> {
        self.hosts.tables(query.host, |table| {
            let mut search = Search::new(&self.trie, &self.rules, query);
            search.run(table);
            if let Some(expressions) = self.expressions.get(table as usize) {
                search.scan(expressions);
            }
            let (rule, captures) = search.found()?;
            Some(Match { route: rule.route, captures: *captures })
        })
    }

    /// A route by its name, internal ones too.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Says of each of its routes whether the request would take it, or what does not match.
    pub fn explain(&self, routes: &[manifest::Route], query: &Query<'_>) -> Vec<Why> {
        explain::explain(routes, query, self.find(query).map(|found| found.route))
    }
}

/// What a path is compared to.
enum Way {
    Pattern(Pattern),
    Expression(PathRegex),
}

impl Way {
    fn of(matcher: &manifest::Match) -> Way {
        match &matcher.regex {
            Some(regex) => Way::Expression(regex.clone()),
            None => Way::Pattern(Pattern::new(matcher.path.as_deref())),
        }
    }
}

/// Without a match there is only its name to reach an internal route by.
fn by_name_only(route: &manifest::Route) -> bool {
    route.internal && route.matcher == manifest::Match::default()
}

#[cfg(test)]
pub(crate) mod tests;
