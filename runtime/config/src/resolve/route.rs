//! `[[routes]]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::filter::{Filters, in_order};
use super::upstream::Upstreams;
use super::{admission, check, error_page, row, target, tie};
use crate::manifest::{ErrorPage, Match, Retry, Route, Target, Upstream, UpstreamProtocol};
use crate::raw::{self, At};
use crate::report::Problem;
use crate::typed::Scene;

/// Names that routes and listeners may use.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    /// False when an included file could not be read: then any name may be in it.
    pub(super) complete: bool,
    pub(super) listeners: &'a [String],
    /// Those of them that take no requests.
    pub(super) tcp: &'a [String],
    pub(super) upstreams: &'a Upstreams,
    pub(super) filters: &'a [String],
    /// Those of them that can't see the bytes of a connection.
    pub(super) scripts: &'a [String],
    /// Those of them that ship with the gateway: they see requests only.
    pub(super) shipped: &'a [String],
    /// Shared dictionaries.
    pub(super) shared: &'a [String],
}

impl Names<'_> {
    pub(super) fn find(
        &self,
        name: &At<String>,
        names: &[String],
        noun: &str,
        scene: &mut Scene<'_>,
    ) -> Option<usize> {
        if self.complete { scene.find(name, names, noun) } else { None }
    }

    /// An upstream that speaks HTTP, or one that does not.
    pub(super) fn upstream(
        &self,
        name: &At<String>,
        tcp: bool,
        scene: &mut Scene<'_>,
    ) -> Option<usize> {
        let index = self.find(name, &self.upstreams.names, "upstream", scene)?;
        let is_tcp = |upstream: &Upstream| upstream.protocol == UpstreamProtocol::Tcp;
        // One that could not be read may be either.
        if self.upstreams.list.get(index).is_some_and(|upstream| is_tcp(upstream) != tcp) {
            let (message, hint) = match tcp {
                true => (
                    format!("the upstream {:?} speaks HTTP", name.value),
                    "its endpoints are \"tcp://HOST:PORT\" or \"tls://HOST:PORT\", or its `protocol` is \"tcp\"",
                ),
                false => (
                    format!("the upstream {:?} is for tcp", name.value),
                    "requests need endpoints that are \"http://HOST:PORT\" or \"https://HOST:PORT\"",
                ),
            };
            scene.error(&name.place, message, Some(hint.to_owned()));
        }
        Some(index)
    }

    /// A route's target of that index.
    pub(super) fn target(&self, upstream: usize) -> Target {
        match self.upstreams.list.get(upstream).is_some_and(|upstream| upstream.split.is_some()) {
            true => Target::Split(upstream),
            false => Target::Upstream(upstream),
        }
    }

    /// The filters of a chain that there are, and where each is named.
    pub(super) fn chain<'t>(
        &self,
        list: Option<&'t At<Vec<At<String>>>>,
        scene: &mut Scene<'_>,
    ) -> Vec<(usize, &'t At<String>)> {
        let mut chain: Vec<(usize, &At<String>)> = Vec::new();
        for name in list.into_iter().flat_map(|list| &list.value) {
            let Some(index) = self.find(name, self.filters, "filter", scene) else { continue };
            if chain.iter().any(|(other, _)| *other == index) {
                let message = format!("filter {:?} is twice in this chain", name.value);
                scene.warning(&name.place, message);
            }
            chain.push((index, name));
        }
        chain
    }
}

pub(super) fn routes(
    raw: Option<At<Vec<At<raw::Route>>>>,
    names: &Names<'_>,
    filters: &mut Filters,
    scene: &mut Scene<'_>,
) -> Vec<Route> {
    let raw = raw.map(|list| list.value).unwrap_or_default();
    let matches: Vec<Match> = raw.iter().map(|table| matcher(table, names, scene)).collect();
    let given = given_names(&raw, scene);
    let mut taken: Vec<Arc<str>> = given.iter().flatten().cloned().collect();
    let internal: Vec<String> = given
        .iter()
        .flatten()
        .filter(|name| name.starts_with('@'))
        .map(|name| name.to_string())
        .collect();
    let mut routes = Vec::with_capacity(raw.len());
    for ((table, matcher), given) in raw.iter().zip(matches).zip(given) {
        let name = given.unwrap_or_else(|| free_name(&matcher, &mut taken));
        let errors = error_page::error_pages(table, &internal, names, scene);
        routes.extend(route(table, name, matcher, errors, names, filters, scene));
    }
    tie::report(&routes, &raw, scene);
    routes
}

/// The names that were given, each once.
fn given_names(raw: &[At<raw::Route>], scene: &mut Scene<'_>) -> Vec<Option<Arc<str>>> {
    let mut seen: BTreeMap<&str, &At<String>> = BTreeMap::new();
    let mut names = Vec::with_capacity(raw.len());
    for table in raw {
        names.push(table.name.as_ref().map(|name| name.as_str().into()));
        let Some(name) = &table.name else { continue };
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            scene.error(
                &name.place,
                format!("{:?} cannot be the name of a route", name.value),
                None,
            );
        }
        if let Some(first) = seen.get(name.as_str()) {
            let message = format!("two routes have the name {:?}", name.value);
            let problem = Problem::error(&name.place, message);
            scene.report.push(problem.also("the first one is here", &first.place));
        } else {
            seen.insert(name, name);
        }
    }
    names
}

/// What a route without a name is called: host and path of its match.
fn free_name(matcher: &Match, taken: &mut Vec<Arc<str>>) -> Arc<str> {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let regex = matcher.regex.as_ref().map(|regex| format!("~{}", regex.text()));
    let mut base = text(&matcher.host) + &text(&matcher.path) + &text(&regex);
    if base.is_empty() {
        base.push_str("any");
    }
    let mut name: Arc<str> = base.as_str().into();
    let mut count = 1;
    while taken.contains(&name) {
        count += 1;
        name = format!("{base}#{count}").into();
    }
    taken.push(name.clone());
    name
}

fn route(
    table: &At<raw::Route>,
    name: Arc<str>,
    matcher: Match,
    errors: Vec<ErrorPage>,
    names: &Names<'_>,
    filters: &mut Filters,
    scene: &mut Scene<'_>,
) -> Option<Route> {
    let raw = &table.value;
    let captures = match (&matcher.regex, &matcher.path) {
        (Some(regex), _) => regex.groups(),
        (None, path) => path.as_deref().map_or(0, |path| path.matches('*').count()),
    };
    let chain = names.chain(raw.filters.as_ref(), scene);
    let rewrite = rewrite(raw, captures, scene);
    let retry = raw.retry.as_ref().map(|retry| self::retry(retry, scene));
    let timeouts = raw.timeouts.as_ref().map(|timeouts| &timeouts.value);
    let total = timeouts.and_then(|timeouts| timeouts.total.as_ref());
    let upstream = timeouts.and_then(|timeouts| timeouts.upstream.as_ref());
    let body = raw.limits.as_ref().and_then(|limits| limits.body_bytes.as_ref());
    let total = total.map(|time| scene.time(Some(time), &row::TOTAL));
    let upstream_timeout = upstream.map(|time| scene.time(Some(time), &row::UPSTREAM_TIMEOUT));
    let body_bytes = body.map(|size| scene.size(Some(size), &row::BODY_BYTES));
    let admission = raw.admission.as_ref();
    let most = row::ADMISSION_MAX.default as usize;
    let admission = admission.map(|at| admission::admission(at, most, scene));
    let held = |upstream: &Upstream| upstream.admission.is_some();
    if let Some(at) = &raw.priority
        && admission.is_none()
        && names.complete
        && !names.upstreams.list.iter().any(held)
    {
        scene.warning(&at.key, "priority has a meaning only where `admission` holds requests up");
    }
    let internal = internal(raw, scene);
    for (name, _) in raw.vars.iter().flat_map(|vars| &vars.value.0) {
        scene.accept(&name.place, check::ngx_variable(name));
    }
    let target = target::target(table, &name, captures, &chain, names, filters, scene)?;
    forwarding_only(raw, &target, scene);
    let vars = raw.vars.iter().flat_map(|vars| &vars.value.0);
    Some(Route {
        name,
        place: table.place.clone(),
        matcher,
        filters: chain.into_iter().map(|(index, _)| index).collect(),
        target,
        total,
        upstream_timeout,
        retry,
        rewrite,
        vars: vars.map(|(name, value)| (name.value.clone(), value.value.clone())).collect(),
        internal,
        errors,
        body_bytes,
        admission,
        priority: raw.priority.as_ref().map(|at| at.value).unwrap_or_default(),
    })
}

/// The name of a route that only it leads to.
fn named(raw: &raw::Route) -> Option<&At<String>> {
    raw.name.as_ref().filter(|name| name.starts_with('@'))
}

fn internal(raw: &raw::Route, scene: &mut Scene<'_>) -> bool {
    let said = raw.internal.as_ref();
    match (said, named(raw)) {
        (Some(no), Some(name)) if !no.value => {
            let message = format!("a route with the name {:?} is internal", name.value);
            scene.error(&no.place, message, None);
            true
        }
        (said, named) => named.is_some() || said.is_some_and(|on| on.value),
    }
}

/// Keys that say how a request is forwarded mean nothing on a route that answers by itself.
fn forwarding_only(raw: &raw::Route, target: &Target, scene: &mut Scene<'_>) {
    if matches!(target, Target::Upstream(_) | Target::Split(_)) {
        return;
    }
    let retry = ("retry", raw.retry.as_ref().map(|retry| &retry.key));
    let upstream = raw.timeouts.as_ref().and_then(|timeouts| timeouts.upstream.as_ref());
    let upstream = ("timeouts.upstream", upstream.map(|time| &time.key));
    scene.meaningless(&[retry, upstream], "without an upstream");
}

fn rewrite(raw: &raw::Route, captures: usize, scene: &mut Scene<'_>) -> Option<String> {
    let path = raw.rewrite.as_ref()?.path.as_ref()?;
    if path.starts_with('/') {
        scene.accept(&path.place, check::template(path, captures));
    } else {
        let hint = Some("a path begins with `/`".to_owned());
        scene.error(&path.place, format!("{:?} is not a path", path.value), hint);
    }
    Some(path.value.clone())
}

fn retry(raw: &At<Box<raw::Retry>>, scene: &mut Scene<'_>) -> Retry {
    let attempts = scene.whole(raw.attempts.as_ref(), &row::ATTEMPTS);
    let mut retry = Retry {
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        connect: raw.on.is_none(),
        statuses: Vec::new(),
        budget: raw.budget.as_ref().map_or(0.2, |budget| budget.value.0),
    };
    for cause in raw.on.iter().flat_map(|on| &on.value) {
        match (cause.as_str(), cause.parse::<u16>()) {
            ("connect", _) => retry.connect = true,
            (_, Ok(status @ 500..=599)) => retry.statuses.push(status),
            _ => {
                let message = format!("{:?} is no reason to try again", cause.value);
                let hint = "reasons are \"connect\" and \"500\" to \"599\"".to_owned();
                scene.error(&cause.place, message, Some(hint));
            }
        }
    }
    retry
}

fn matcher(table: &At<raw::Route>, names: &Names<'_>, scene: &mut Scene<'_>) -> Match {
    let Some(raw) = &table.r#match else { return Match::default() };
    let host = raw.host.as_ref().map(|host| {
        scene.accept(&host.place, check::host(host)).unwrap_or_else(|| host.value.clone())
    });
    let path = raw.path.as_ref().map(|path| {
        scene.accept(&path.place, check::path(path)).unwrap_or_else(|| path.value.clone())
    });
    let regex = raw.regex.as_ref().and_then(|text| scene.accept(&text.place, check::regex(text)));
    if let (Some(path), Some(regex)) = (&raw.path, &raw.regex) {
        let (first, second) = in_order(&path.key, &regex.key);
        let problem = Problem::error(second, "a match has one of `path` and `regex`");
        scene.report.push(problem.also("the first one is here", first));
    }
    if let (Some(matcher), Some(name)) = (&table.r#match, named(table)) {
        let message = format!("only its name leads to {:?}", name.value);
        let hint = "without `match`; or a name that does not begin with `@`".to_owned();
        scene.error(&matcher.key, message, Some(hint));
    }
    let methods = raw.methods.iter().flat_map(|methods| &methods.value);
    let mut methods: Vec<_> = methods.map(|name| scene.checked(name, check::method)).collect();
    if let Some(empty) = raw.methods.as_ref().filter(|list| list.is_empty()) {
        let hint = "leave it out for any method".to_owned();
        scene.error(&empty.place, "no method can match", Some(hint));
    }
    methods.sort_unstable();
    methods.dedup();
    let mut headers = Vec::new();
    for (name, value) in raw.headers.iter().flat_map(|headers| &headers.value.0) {
        scene.accept(&name.place, check::field_name(name));
        scene.accept(&value.place, check::field_value(value));
        headers.push((name.to_ascii_lowercase(), value.value.clone()));
    }
    headers.sort_unstable();
    let query = raw.query.iter().flat_map(|query| &query.value.0);
    let listeners = raw.listeners.iter().flat_map(|listeners| &listeners.value);
    Match {
        host,
        path,
        regex,
        methods,
        headers,
        query: query.map(|(name, value)| (name.value.clone(), value.value.clone())).collect(),
        listeners: listeners
            .inspect(|name| {
                names.find(name, names.listeners, "listener", scene);
                if names.tcp.contains(&name.value) {
                    let message = format!("no request comes over {:?}: it is for tcp", name.value);
                    scene.error(&name.place, message, None);
                }
            })
            .map(|name| name.value.clone())
            .collect(),
    }
}
