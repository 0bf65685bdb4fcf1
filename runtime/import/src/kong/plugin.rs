//! Plugins: which run on a route, and in which order.
//!
//! Of a plugin's instances the one bound closest to the route runs. Kong orders them by PRIORITY in
//! every phase; a chain has one order, and what stands behind an answer does not run: so plugins that
//! only log come first.

use super::yaml::{Node, Spot};
use super::{Import, consumer, reference};
use crate::doc::{Table, Value};

/// A plugin that stands on the top level, with what it is bound to.
pub(super) struct Plugin {
    service: Option<String>,
    route: Option<String>,
    node: Node,
}

/// Kong's own plugins (3.10) by their PRIORITY; the flag: it only logs.
const PRIORITIES: &[(&str, i64, bool)] = &[
    ("pre-function", 1_000_000, false),
    ("correlation-id", 100_001, false),
    ("zipkin", 100_000, true),
    ("bot-detection", 2500, false),
    ("cors", 2000, false),
    ("session", 1900, false),
    ("acme", 1705, false),
    ("jwt", 1450, false),
    ("oauth2", 1400, false),
    ("key-auth", 1250, false),
    ("ldap-auth", 1200, false),
    ("basic-auth", 1100, false),
    ("hmac-auth", 1030, false),
    ("grpc-gateway", 998, false),
    ("ip-restriction", 990, false),
    ("request-size-limiting", 951, false),
    ("acl", 950, false),
    ("rate-limiting", 910, false),
    ("response-ratelimiting", 900, false),
    ("request-transformer", 801, false),
    ("response-transformer", 800, false),
    ("redirect", 779, false),
    ("ai-request-transformer", 777, false),
    ("ai-prompt-template", 773, false),
    ("ai-prompt-decorator", 772, false),
    ("ai-prompt-guard", 771, false),
    ("ai-proxy", 770, false),
    ("ai-response-transformer", 768, false),
    ("standard-webhooks", 760, false),
    ("aws-lambda", 750, false),
    ("azure-functions", 749, false),
    ("proxy-cache", 100, false),
    ("opentelemetry", 14, true),
    ("prometheus", 13, true),
    ("http-log", 12, true),
    ("statsd", 11, true),
    ("datadog", 10, true),
    ("file-log", 9, true),
    ("udp-log", 8, true),
    ("tcp-log", 7, true),
    ("loggly", 6, true),
    ("syslog", 4, true),
    ("grpc-web", 3, false),
    ("request-termination", 2, false),
    ("post-function", -1000, false),
];

/// What Kong's own template gives a new plugin.
const OF_CUSTOM: i64 = 1000;

/// Plugins that cannot work here, whether they guard, and what to do.
const OUT: &[(&str, bool, &str)] = &[
    ("oauth2", true, "there is no database for tokens: let jwt check those of an issuer"),
    ("acme", false, "let a client of ACME write the certificate's files, and reload"),
    ("grpc-web", false, "it needs libraries in C; put a proxy that translates before the upstream"),
    ("grpc-gateway", false, "it needs libraries in C; put a translating proxy before the upstream"),
    ("opentelemetry", false, "it needs libraries in C; zipkin sends spans, too"),
    ("syslog", false, "it needs a library in C; udp-log and tcp-log send entries, too"),
];

/// A script that lets nobody pass.
const REFUSE: &str = "\
-- In the place of a plugin that guarded this route and cannot work here.
local filter = {}

function filter.request()
  return { status = 403, body = \"closed\\n\" }
end

return filter
";

/// Takes in the plugins of the top level.
pub(super) fn collect(import: &mut Import<'_>, root: &Node) {
    for node in root.list("plugins") {
        if node.get("consumer").is_some() || node.get("consumer_group").is_some() {
            consumer::consumer_plugin(import, node);
            continue;
        }
        import.plugins.push(Plugin {
            service: reference(node, "service").map(str::to_owned),
            route: reference(node, "route").map(str::to_owned),
            node: node.clone(),
        });
    }
}

/// A plugin of a route: how close it is bound, and by what name its filter goes.
struct Bound {
    rank: u8,
    scope: String,
    node: Node,
}

/// The filters of a route's plugins, in their order.
pub(super) fn chain(import: &mut Import<'_>, service: Option<&Node>, route: &Node) -> Vec<String> {
    let is = |to: &Option<String>, node: Option<&Node>| {
        let to = to.as_deref();
        node.is_some_and(|node| to == node.word("name") || to == node.word("id"))
    };
    let mut all: Vec<Bound> = Vec::new();
    let label =
        |node: Option<&Node>| node.and_then(|node| node.word("name")).unwrap_or("").to_owned();
    for plugin in &import.plugins {
        let here = (plugin.service.is_none() || is(&plugin.service, service))
            && (plugin.route.is_none() || is(&plugin.route, Some(route)));
        if !here {
            continue;
        }
        let (rank, scope) = match (&plugin.service, &plugin.route) {
            (None, None) => (0, String::new()),
            (Some(_), None) => (1, label(service)),
            (None, Some(_)) => (2, label(Some(route))),
            (Some(_), Some(_)) => (3, label(Some(route))),
        };
        all.push(Bound { rank, scope, node: plugin.node.clone() });
    }
    for (rank, holder) in [(1, service), (2, Some(route))] {
        for node in holder.into_iter().flat_map(|holder| holder.list("plugins")) {
            if node.get("consumer").is_some() {
                consumer::consumer_plugin(import, node);
                continue;
            }
            all.push(Bound { rank, scope: label(holder), node: node.clone() });
        }
    }
    all.retain(|bound| bound.node.flag("enabled", true) && bound.node.word("name").is_some());
    let mut closest: Vec<Bound> = Vec::new();
    for bound in all {
        let name = bound.node.word("name");
        match closest.iter_mut().find(|known| known.node.word("name") == name) {
            Some(known) if known.rank < bound.rank => *known = bound,
            Some(_) => {}
            None => closest.push(bound),
        }
    }
    let mut placed: Vec<((bool, i64), Bound)> = Vec::new();
    for bound in closest {
        let order = order(import, &bound.node);
        placed.push((order, bound));
    }
    // Stable: among equals the order of the file.
    placed.sort_by_key(|((logs, priority), _)| (!*logs, std::cmp::Reverse(*priority)));
    let mut names = Vec::new();
    for (_, bound) in placed {
        if let Some(name) = filter(import, &bound)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// Whether it only logs, and its PRIORITY.
fn order(import: &mut Import<'_>, node: &Node) -> (bool, i64) {
    let name = node.word("name").unwrap_or("");
    if let Some((_, priority, logs)) = PRIORITIES.iter().find(|(known, ..)| *known == name) {
        return (*logs, *priority);
    }
    let what = format!("{name} is none of Kong's own: its place in chains is a guess");
    let todo = format!("move it in `filters` by its PRIORITY (taken as {OF_CUSTOM})");
    import.note(node.spot, what, todo);
    (false, OF_CUSTOM)
}

fn filter(import: &mut Import<'_>, bound: &Bound) -> Option<String> {
    let Bound { scope, node, .. } = bound;
    let name = node.word("name")?;
    if let Some((_, guards, todo)) = OUT.iter().find(|(known, ..)| *known == name) {
        return out(import, name, *guards, todo, node.spot);
    }
    if let Some(ordering) = node.get("ordering") {
        let todo = "move the filter in the route's `filters`";
        import.note(ordering.spot, "`ordering` is left out: chains have one order", todo);
    }
    let mut config = Table::new();
    if let Some(shared) = node.word("_config") {
        let found = import.shared.iter().find(|(known, _)| known == shared);
        match found.and_then(|(_, config)| config.value()) {
            Some(Value::Table(table)) => config = table,
            _ => {
                import.note(node.spot, format!("there is no _plugin_configs.{shared}"), "write it")
            }
        }
    }
    if let Some(Value::Table(own)) = node.get("config").and_then(Node::value) {
        for (key, value) in own.0 {
            config.put(&key, value);
        }
    }
    wants(import, name, &config, node.spot);
    let mut table = Table::new().with("kong", name);
    if !config.is_empty() {
        table.put("config", config);
    }
    let base = if scope.is_empty() { name.to_owned() } else { format!("{scope}-{name}") };
    Some(import.filter(&base, table))
}

fn out(
    import: &mut Import<'_>,
    name: &str,
    guards: bool,
    todo: &str,
    spot: Spot,
) -> Option<String> {
    if !guards {
        import.note(spot, format!("{name} is left out"), todo);
        return None;
    }
    let what = format!("{name} cannot work here: its routes refuse everyone");
    import.note(spot, what, format!("{todo}; then remove the filter `refuse`"));
    let path = import.write("lua", "refuse", ".lua", REFUSE.to_owned());
    Some(import.filter("refuse", Table::new().with("lua", path)))
}

/// What a plugin needs beside its own folder.
fn wants(import: &mut Import<'_>, name: &str, config: &Table, spot: Spot) {
    let is = |key: &str, text: &str| config.get(key) == Some(&Value::from(text));
    if name == "file-log" && import.lua.get("ffi").is_none() {
        import.lua.put("ffi", true);
        let todo = "see that plugins may be trusted with everything, or log by another plugin";
        import.note(spot, "file-log uses ffi: the manifest grants it to all scripts", todo);
    }
    if name == "session" && config.get("storage").is_none_or(|_| is("storage", "kong")) {
        let todo = "set config.storage = \"cookie\"";
        import.note(spot, "session keeps its data in Kong's database", todo);
    }
    let counts = matches!(name, "rate-limiting" | "response-ratelimiting");
    if counts && (is("policy", "cluster")) {
        let todo = "set config.policy to \"local\" or \"redis\"";
        import.note(spot, format!("{name} counts in Kong's database"), todo);
    }
    if name == "prometheus" {
        let todo = "add a route for its page, as docs/guides/kong.md shows";
        import.note(spot, "Kong's Status API serves the page of prometheus", todo);
    }
}
