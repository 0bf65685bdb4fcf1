//! `proxy_pass` and `grpc_pass`: the upstream, the path, what the request gains, and when it is sent
//! again.

use super::location::{Here, Kind};
use super::parse::Directive;
use super::var::{Part, bare, is_constant, parts};
use super::{Import, effective, header, units, upstream};
use crate::doc::Table;

/// What comes of it.
pub(super) struct Forwarded {
    pub(super) table: Table,
    /// Lines of a script that runs last of a request's.
    pub(super) lines: Vec<String>,
    pub(super) balancer: Option<String>,
}

/// Nothing if it leads to a variable.
pub(super) fn forward(
    import: &mut Import<'_>,
    here: &mut Here<'_>,
    pass: &Directive,
) -> Option<Forwarded> {
    let whole = !is_constant(pass.arg(0));
    let target = constants(here, pass.arg(0));
    let grpc = pass.name == "grpc_pass";
    let default = if grpc { "grpc" } else { "http" };
    let (scheme, rest) = target.split_once("://").unwrap_or((default, &target));
    let (host, uri) = authority(rest);
    if !is_constant(host) || !is_constant(scheme) || host.is_empty() {
        let what = format!("`{} {}` leads to a variable", pass.name, pass.arg(0));
        let todo = "name the upstreams in routes of their own, or pick the endpoint in a balancer \
                    script; the route answers 501 until then";
        import.note(&pass.spot, what, todo);
        return None;
    }
    note_timeout(import, here);
    let (host, uri) = (host.to_owned(), uri.map(str::to_owned));
    let reached = upstream::upstream(import, here, scheme, &host, pass);
    let port = if scheme.ends_with('s') { "443" } else { "80" };
    let port = host.rsplit_once(':').map_or(port, |(_, port)| port).to_owned();
    here.names.known.push(("proxy_host".to_owned(), host.clone()));
    here.names.known.push(("proxy_port".to_owned(), port));
    let shown = if host.starts_with("unix:") { "localhost" } else { &host };
    let fields = if grpc { "grpc_set_header" } else { "proxy_set_header" };
    let mut lines = header::upstream(import, here, fields, shown);
    let mut table = Table::new().with("upstream", reached.name.as_str());
    if let Some(uri) = uri.filter(|uri| uri != "$request_uri" && uri != "$uri$is_args$args") {
        path(import, here, pass, &uri, whole, &mut table, &mut lines);
    }
    retry(here, reached.endpoints, &mut table);
    Some(Forwarded { table, lines, balancer: reached.balancer })
}

/// Host and URI: the host of a Unix socket ends with a colon.
fn authority(rest: &str) -> (&str, Option<&str>) {
    if let Some(path) = rest.strip_prefix("unix:") {
        let end = path.find(':').map_or(rest.len(), |end| end + "unix:".len());
        let uri = rest.get(end + 1..).filter(|uri| !uri.is_empty());
        return (&rest[..end], uri);
    }
    match rest.find('/') {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        // `http://backend$request_uri`.
        None => match rest.find("$request_uri").or_else(|| rest.find("$uri")) {
            Some(at) if at > 0 => (&rest[..at], Some(&rest[at..])),
            _ => (rest, None),
        },
    }
}

/// A text with the constants of `set` put in.
fn constants(here: &Here<'_>, text: &str) -> String {
    let value = |name: &str| {
        let sets = here.levels.iter().flat_map(|level| level.iter().rev());
        let mut all = sets.filter(|one| one.name == "set" && bare(one.arg(0)) == name);
        let value = all.next().map(|one| one.arg(1))?;
        (all.next().is_none() && is_constant(value)).then_some(value)
    };
    let all = parts(text);
    let mut out = String::new();
    for (at, part) in all.iter().enumerate() {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Variable(name) => match value(name) {
                Some(value) => out.push_str(value),
                None => {
                    let glued = matches!(all.get(at + 1), Some(Part::Text(text))
                        if text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
                    let (open, shut) = if glued { ("{", "}") } else { ("", "") };
                    out.extend(["$", open, name, shut]);
                }
            },
        }
    }
    out
}

/// A constant URI replaces the location's part of the path; one with variables replaces all of it,
/// and the query.
fn path(
    import: &mut Import<'_>,
    here: &Here<'_>,
    pass: &Directive,
    uri: &str,
    whole: bool,
    table: &mut Table,
    lines: &mut Vec<String>,
) {
    let braces = uri.contains(['{', '}', ' ']);
    if is_constant(uri) && !uri.contains('?') && !braces {
        let tail = if whole || here.kind == Kind::Exact { "" } else { "{1}" };
        let same = !whole && here.kind != Kind::Exact && here.value == uri;
        if !same {
            table.put("rewrite", Table::new().with("path", format!("{uri}{tail}")));
        }
        return;
    }
    // `/v2/$1$is_args$args` keeps the query, as templates do.
    let kept = uri.strip_suffix("$is_args$args").or(uri.strip_suffix("?$args"));
    if let Some(kept) = kept
        && let Some(template) = template(kept)
    {
        table.put("rewrite", Table::new().with("path", template));
        return;
    }
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let (path, query) = match kept {
        Some(kept) => (kept.split_once('?').unwrap_or((kept, "")).0, "$args"),
        None => (path, query),
    };
    let path = import.expression(path, &here.names, &pass.spot);
    let query = import.expression(query, &here.names, &pass.spot);
    lines.push(format!("local path, query = {path}, {query}"));
    lines.push("ngx.req.set_uri(path)".to_owned());
    lines.push("ngx.req.set_uri_args(query)".to_owned());
}

/// A text of captures only, as a template.
fn template(text: &str) -> Option<String> {
    let mut out = String::new();
    for part in parts(text) {
        match part {
            Part::Text(text) if text.contains(['{', '}', ' ', '?']) => return None,
            Part::Text(text) => out.push_str(text),
            Part::Variable(number) if number.bytes().all(|b| b.is_ascii_digit()) => {
                out.push_str(&format!("{{{number}}}"));
            }
            Part::Variable("uri") => out.push_str("{path}"),
            Part::Variable(_) => return None,
        }
    }
    out.starts_with('/').then_some(out)
}

/// nginx asks the next server of an upstream when one fails.
fn retry(here: &Here<'_>, endpoints: usize, table: &mut Table) {
    let said = effective(&here.levels, "proxy_next_upstream");
    let off = said.is_some_and(|said| said.arg(0) == "off");
    if off || endpoints < 2 {
        return;
    }
    let mut on = vec!["connect".to_owned()];
    for cause in said.iter().flat_map(|said| &said.args) {
        if let Some(status @ ("500" | "502" | "503" | "504")) = cause.strip_prefix("http_") {
            on.push(status.to_owned());
        }
    }
    let tries = effective(&here.levels, "proxy_next_upstream_tries");
    let tries = tries.and_then(|tries| tries.arg(0).parse::<usize>().ok()).filter(|n| *n > 0);
    let attempts = (endpoints - 1).min(tries.map_or(usize::MAX, |tries| tries - 1)).min(10);
    if attempts > 0 {
        let attempts = i64::try_from(attempts).unwrap_or(1);
        let mut retry = Table::new().with("attempts", attempts);
        if on.len() > 1 {
            retry.put("on", on);
        }
        table.put("retry", retry);
    }
}

/// There is one time for the request's way up: that of the listener.
fn note_timeout(import: &mut Import<'_>, here: &Here<'_>) {
    if let Some(found) = effective(&here.levels, "proxy_send_timeout")
        && units::time(found.arg(0)).is_some_and(|time| time.as_secs() != 60)
    {
        let todo = "timeouts.body_idle of the listener bounds the request's way";
        import.note(&found.spot, "`proxy_send_timeout` is left out", todo);
    }
}
