//! A route of Kong's as routes of the manifest: one for each host, path and header that it names.

use super::service::Service;
use super::yaml::Node;
use super::{Import, Route, path, plugin};
use crate::doc::{self, Table, Value};
use crate::lua::literal;
use crate::matching;

/// More than that of one route are not written.
const MOST: usize = 1000;

pub(super) fn route(import: &mut Import<'_>, service: Option<&Service<'_>>, node: &Node) {
    let name = node.word("name").map(str::to_owned);
    let label = name.clone().unwrap_or_else(|| "a route".to_owned());
    if let Some(why) = beyond(node) {
        let what = format!("{label} is left out: {why}");
        import.note(node.spot, what, "write it by hand: [[routes]]");
        return;
    }
    let Some(scheme) = schemes(import, node, &label) else { return };
    let hosts = hosts(import, node);
    let ways = path::ways(import, service, node, &label);
    let headers = headers(import, node);
    let (Some(hosts), Some(ways), Some(headers)) = (hosts, ways, headers) else { return };
    if hosts.len() * ways.len() * headers.len() > MOST {
        let what = format!("{label} stands for more than {MOST} routes");
        import.note(node.spot, what, "divide it, or match by a regular expression");
        return;
    }
    let base = base(import, service, node);
    let methods = node.words("methods");
    let spots = ways.iter().flat_map(|way| hosts.iter().map(move |host| (way, host)));
    for (way, host) in spots.collect::<Vec<_>>() {
        for fields in &headers {
            let mut matcher = Table::new();
            if let Some(host) = host {
                matcher.put("host", host.as_str());
            }
            if !way.key.is_empty() {
                matcher.put(way.key, way.value.as_str());
            }
            if !methods.is_empty() {
                matcher.put("methods", methods.clone());
            }
            if !fields.is_empty() {
                matcher.put("headers", fields.clone());
            }
            if let Some(listener) = scheme.only {
                matcher.put("listeners", vec![listener]);
            }
            if taken(import, &matcher) {
                let what = format!("another route matches the same requests as {label}");
                import.note(node.spot, what, "the first is asked; tell them apart by more");
                continue;
            }
            let mut table = Table::new();
            if let Some(name) = &name {
                table.put("name", free(import, name));
            }
            add_match(&mut table, &matcher);
            table.0.extend(base.0.iter().cloned());
            if let Some(path) = way.rewrite.as_ref().filter(|_| service.is_some()) {
                table.put("rewrite", Table::new().with("path", path.as_str()));
            }
            push(import, node, &label, table);
            if let Some(answer) = &scheme.plain {
                matcher.put("listeners", vec!["http"]);
                if !taken(import, &matcher) {
                    let mut table = Table::new();
                    add_match(&mut table, &matcher);
                    table.0.extend(answer.0.iter().cloned());
                    push(import, node, &label, table);
                }
            }
        }
    }
}

fn add_match(table: &mut Table, matcher: &Table) {
    if !matcher.is_empty() {
        table.put("match", matcher.clone());
    }
}

fn push(import: &mut Import<'_>, node: &Node, label: &str, table: Table) {
    let from = format!("line {}: {label}", node.spot.line);
    let priority = node.whole("regex_priority").unwrap_or(0);
    import.routes.push(Route { from, priority, table });
}

/// A name that no other route has; one with `@` first is another thing here.
fn free(import: &Import<'_>, name: &str) -> String {
    let base: String =
        name.trim_start_matches('@').chars().filter(|c| !c.is_control()).take(120).collect();
    let base = if base.is_empty() { "route".to_owned() } else { base };
    doc::free(&base, |name| {
        !import.routes.iter().any(|route| route.table.get("name") == Some(&Value::from(name)))
    })
}

/// Whether a route that is there matches the same requests as this would.
fn taken(import: &Import<'_>, matcher: &Table) -> bool {
    const LISTS: &[&str] = &["methods", "listeners"];
    let rest = |table: &Table| {
        let rows = table.0.iter().filter(|(key, _)| !LISTS.contains(&key.as_str()));
        rows.cloned().collect::<Vec<_>>()
    };
    let empty = Table::new();
    import.routes.iter().any(|route| {
        let other = match route.table.get("match") {
            Some(Value::Table(table)) => table,
            _ => &empty,
        };
        rest(other) == rest(matcher)
            && LISTS.iter().all(|key| match (other.get(key), matcher.get(key)) {
                (None, None) => true,
                (Some(Value::List(a)), Some(Value::List(b))) => a.iter().any(|one| b.contains(one)),
                _ => false,
            })
    })
}

/// What no match can ask for.
fn beyond(node: &Node) -> Option<&'static str> {
    for (key, why) in [
        ("expression", "no match says its expression"),
        ("snis", "no match asks for the name in a TLS handshake"),
        ("sources", "no match asks for the client's address"),
        ("destinations", "no match asks for the address that was called"),
    ] {
        if node.get(key).is_some_and(|found| !found.items().is_empty()) {
            return Some(why);
        }
    }
    None
}

/// By which listeners a route is found, and what the others answer.
struct Schemes {
    only: Option<&'static str>,
    plain: Option<Table>,
}

fn schemes(import: &mut Import<'_>, node: &Node, label: &str) -> Option<Schemes> {
    let protocols = node.words("protocols");
    let has = |names: [&str; 3]| protocols.iter().any(|one| names.contains(&one.as_str()));
    let (plain, tls) = (has(["http", "grpc", "ws"]), has(["https", "grpcs", "wss"]));
    if !protocols.is_empty() && !plain && !tls {
        let what = format!("{label} is left out: it speaks {}", protocols.join(", "));
        import.note(node.spot, what, "the gateway speaks HTTP; keep another proxy for this");
        return None;
    }
    let served = !import.certificates.is_empty();
    Some(match (plain, tls) {
        (true, false) if served => Schemes { only: Some("http"), plain: None },
        (false, true) if served => Schemes { only: Some("https"), plain: Some(insecure(node)) },
        (false, true) => {
            let what = format!("{label} is for HTTPS, and there is no certificate");
            let todo =
                "add a listener with tls, and name it in match.listeners: now HTTP gets there";
            import.note(node.spot, what, todo);
            Schemes { only: None, plain: None }
        }
        _ => Schemes { only: None, plain: None },
    })
}

/// What clients are told that come without TLS.
fn insecure(node: &Node) -> Table {
    match node.whole("https_redirect_status_code") {
        Some(status @ (301 | 302 | 307 | 308)) => {
            let to = "https://{host}{path}?{query}";
            Table::new().with("redirect", Table::new().with("to", to).with("status", status))
        }
        _ => {
            let json = Table::new().with("message", "Please use HTTPS protocol");
            Table::new().with("respond", Table::new().with("status", 426i64).with("json", json))
        }
    }
}

/// `None` in the list is any host; nothing at all: none of the hosts can be said.
fn hosts(import: &mut Import<'_>, node: &Node) -> Option<Vec<Option<String>>> {
    let given = node.list("hosts");
    if given.is_empty() {
        return Some(vec![None]);
    }
    let mut hosts = Vec::new();
    for one in given {
        let Some(text) = one.text() else { continue };
        let lower = text.to_ascii_lowercase();
        let host = lower.split(':').next().unwrap_or(&lower);
        if host != lower {
            let what = format!("the port of the host {text:?} is left out");
            import.note(one.spot, what, "match.listeners tells ports apart");
        }
        if matching::is_host(host) {
            hosts.push(Some(host.to_owned()));
        } else {
            let what = format!("no match says the host {text:?}");
            import.note(one.spot, what, "write the names one by one, or \"*.example.com\"");
        }
    }
    (!hosts.is_empty()).then_some(hosts)
}

/// Fields with their values: one table for each way to choose them.
fn headers(import: &mut Import<'_>, node: &Node) -> Option<Vec<Table>> {
    let mut all = vec![Table::new()];
    for (name, values) in node.get("headers").map_or(&[][..], Node::rows) {
        let Some(name) = name.text() else { continue };
        let mut next = Vec::new();
        for value in values.items().iter().filter_map(Node::text) {
            if value.starts_with("~*") {
                let what = format!("no match says an expression for the field {name}");
                import.note(node.spot, what, "the route is left out; write the values");
                return None;
            }
            for table in &all {
                next.push(table.clone().with(name, value));
            }
        }
        if next.len() > MOST {
            return None;
        }
        all = next;
    }
    Some(all)
}

/// What all routes that one of Kong's stands for have.
fn base(import: &mut Import<'_>, service: Option<&Service<'_>>, node: &Node) -> Table {
    let mut chain = plugin::chain(import, service.map(|service| service.node), node);
    let mut table = Table::new();
    let Some(service) = service else {
        let json = Table::new().with("message", "no Service found with those values");
        let respond = Table::new().with("status", 503i64).with("json", json);
        if !chain.is_empty() {
            table.put("filters", chain);
        }
        return table.with("respond", respond);
    };
    if let Some(host) = service.host.as_ref().filter(|_| !node.flag("preserve_host", false)) {
        let code = format!(
            "-- The service gets its own name, as Kong sends it without preserve_host.\n\
             local filter = {{}}\n\nfunction filter.request(req)\n  req.host = {}\nend\n\n\
             return filter\n",
            literal(host)
        );
        let name = format!("host-{}", service.upstream);
        let path = import.write("lua", &name, ".lua", code);
        chain.push(import.filter(&name, Table::new().with("lua", path)));
    }
    if !chain.is_empty() {
        table.put("filters", chain);
    }
    table.put("upstream", service.upstream.as_str());
    if service.retries > 0 {
        table.put("retry", Table::new().with("attempts", service.retries));
    }
    table
}
