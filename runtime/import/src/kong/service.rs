//! Services and Kong's upstreams with their targets, as `[upstreams.NAME]`.

use std::net::IpAddr;
use std::time::Duration;

use pilotlight_config::units::show_duration;

use super::yaml::Node;
use super::{Import, certificate, reference, route};
use crate::doc::{self, Table, Value};

/// Kong's own time for each of connecting, writing and reading, in milliseconds.
const TIMEOUT: i64 = 60_000;

/// What routes need of their service.
pub(super) struct Service<'n> {
    pub(super) node: &'n Node,
    /// The manifest's upstream.
    pub(super) upstream: String,
    /// Before each path, without a slash at its end.
    pub(super) path: String,
    /// What the service gets as `Host`, if it is one name.
    pub(super) host: Option<String>,
    pub(super) retries: i64,
}

/// The parts of a service's address.
struct Address {
    scheme: String,
    host: String,
    port: i64,
    path: String,
}

/// A service with its routes.
pub(super) fn service(import: &mut Import<'_>, root: &Node, node: &Node, routes: &[&Node]) {
    let name = node.word("name").unwrap_or("service").to_owned();
    if !node.flag("enabled", true) {
        let what = format!("the service {name} is disabled: it is left out with its routes");
        import.note(node.spot, what, "set `enabled: true` and import again, if it shall serve");
        return;
    }
    let Some(address) = address(node) else {
        let what = format!("the service {name} has no address that can be read");
        import.note(node.spot, what, "write `url`, or `host` with `port` and `protocol`");
        return;
    };
    if !matches!(address.scheme.as_str(), "http" | "https" | "grpc" | "grpcs" | "ws" | "wss") {
        let what = format!("the service {name} speaks {}: it is left out", address.scheme);
        import.note(node.spot, what, "the gateway speaks HTTP; keep another proxy for this");
        return;
    }
    let (upstream, host) = upstream(import, root, node, &address);
    let path = address.path.trim_end_matches('/').to_owned();
    let retries = node.whole("retries").unwrap_or(5).clamp(0, 10);
    let service = Service { node, upstream, path, host, retries };
    for node in routes {
        route::route(import, Some(&service), node);
    }
}

/// A route that no service stands behind: its plugins answer.
pub(super) fn without(import: &mut Import<'_>, root: &Node, node: &Node) {
    let disabled = root.list("services").iter().any(|service| {
        let to = reference(node, "service");
        to.is_some() && (service.word("name") == to || service.word("id") == to)
    });
    if !disabled {
        route::route(import, None, node);
    }
}

fn address(node: &Node) -> Option<Address> {
    let Some(url) = node.word("url") else {
        let scheme = node.word("protocol").unwrap_or("http").to_owned();
        let tls = is_tls(&scheme);
        let port =
            node.whole("port").unwrap_or(if tls && node.get("port").is_none() { 443 } else { 80 });
        let path = node.word("path").unwrap_or("").to_owned();
        return Some(Address { scheme, host: node.word("host")?.to_owned(), port, path });
    };
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, if is_tls(scheme) { 443 } else { 80 }),
    };
    let whole = !host.is_empty() && (1..=65_535).contains(&port);
    let address = Address {
        scheme: scheme.to_owned(),
        host: host.to_owned(),
        port,
        path: path.split('?').next().unwrap_or("").to_owned(),
    };
    whole.then_some(address)
}

fn is_tls(scheme: &str) -> bool {
    matches!(scheme, "https" | "grpcs" | "wss")
}

/// The upstream's name, and the one host that it is reached by.
fn upstream(
    import: &mut Import<'_>,
    root: &Node,
    service: &Node,
    address: &Address,
) -> (String, Option<String>) {
    let tls = is_tls(&address.scheme);
    let mut table = Table::new();
    let block = root.list("upstreams").iter().find(|one| one.word("name") == Some(&address.host));
    let mut host = None;
    let base = match block {
        Some(block) => {
            let (endpoints, hosts) = targets(import, root, block, tls);
            table.put("endpoints", Value::List(endpoints));
            keys(import, block, &mut table);
            host = block.word("host_header").map(str::to_owned);
            let named = hosts.iter().any(|(host, _)| host.parse::<IpAddr>().is_err());
            let same = hosts.iter().all(|one| Some(one) == hosts.first());
            match hosts.first() {
                Some((name, port)) if host.is_none() && same => {
                    host = Some(authority(name, *port, tls))
                }
                Some(_) if host.is_none() && named => {
                    let what =
                        format!("targets of {} get the client's Host, not their own", address.host);
                    import.note(block.spot, what, "set `host_header`, if they need another");
                }
                _ => {}
            }
            address.host.as_str()
        }
        None => {
            table.put("endpoints", vec![url(&address.host, address.port, tls)]);
            host = host.or(Some(authority(&address.host, address.port, tls)));
            service.word("name").unwrap_or(&address.host)
        }
    };
    if address.scheme.starts_with("grpc") {
        table.put("protocol", "http2");
    }
    if tls {
        let keys = self::tls(import, root, service, block, host.as_deref());
        if !keys.is_empty() {
            table.put("tls", keys);
        }
    }
    table.put("timeouts", timeouts(service));
    let base = doc::name(base, "service");
    let fits = |name: &str| match import.upstreams.iter().find(|(known, _)| known == name) {
        None => true,
        Some((_, known)) => *known == table,
    };
    let name = doc::free(&base, fits);
    if !import.upstreams.iter().any(|(known, _)| *known == name) {
        import.upstreams.push((name.clone(), table));
    }
    (name, host)
}

fn url(host: &str, port: i64, tls: bool) -> String {
    format!("{}://{host}:{port}", if tls { "https" } else { "http" })
}

fn authority(host: &str, port: i64, tls: bool) -> String {
    let default = if tls { 443 } else { 80 };
    if port == default { host.to_owned() } else { format!("{host}:{port}") }
}

/// Endpoints with their weights, and their hosts.
fn targets(
    import: &mut Import<'_>,
    root: &Node,
    block: &Node,
    tls: bool,
) -> (Vec<Value>, Vec<(String, i64)>) {
    let name = block.word("name");
    let bound = root.list("targets").iter().filter(|one| reference(one, "upstream") == name);
    let all: Vec<&Node> = block.list("targets").iter().chain(bound).collect();
    let weight = |one: &Node| one.whole("weight").unwrap_or(100);
    let used: Vec<&Node> = all.iter().copied().filter(|one| weight(one) > 0).collect();
    let differ = used.iter().any(|one| weight(one) != weight(used[0]));
    let (mut endpoints, mut hosts) = (Vec::new(), Vec::new());
    for one in used {
        let Some(text) = one.word("target").or(one.text()) else { continue };
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(8000)),
            _ => (text, 8000),
        };
        let url = url(host, port, tls);
        hosts.push((host.to_owned(), port));
        endpoints.push(match differ {
            true => Table::new().with("url", url).with("weight", weight(one).min(65_535)).into(),
            false => url.into(),
        });
    }
    if endpoints.is_empty() {
        let what = format!("the upstream {} has no targets", name.unwrap_or(""));
        import.note(block.spot, what, "list its endpoints; until then it is a closed port");
        endpoints.push(url("127.0.0.1", 1, tls).into());
    }
    (endpoints, hosts)
}

fn keys(import: &mut Import<'_>, block: &Node, table: &mut Table) {
    match block.word("algorithm") {
        Some("least-connections") => table.put("balance", "least-request"),
        Some(other @ ("consistent-hashing" | "latency" | "sticky-sessions")) => {
            let what = format!("`algorithm: {other}`: targets are taken in turn");
            import.note(block.spot, what, "pick the endpoint in a balancer script, if it matters");
        }
        _ if block.word("hash_on").is_some_and(|on| on != "none") => {
            let todo = "pick the endpoint in a balancer script, if it matters";
            import.note(block.spot, "`hash_on`: targets are taken in turn", todo);
        }
        _ => {}
    }
    if let Some(checks) = block.get("healthchecks") {
        let todo = "`health` and `outlier` of the upstream keep away from endpoints that fail";
        import.note(checks.spot, "health checks are left out", todo);
    }
}

/// Kong checks no certificates of services unless it is told to.
fn tls(
    import: &mut Import<'_>,
    root: &Node,
    service: &Node,
    block: Option<&Node>,
    host: Option<&str>,
) -> Table {
    let mut table = Table::new();
    let verify = service.flag("tls_verify", false);
    if verify {
        if let Some(ca) = certificate::authorities(import, root, service) {
            table.put("ca", ca);
        }
    } else {
        table.put("verify", false);
    }
    if let Some(name) = host.map(|host| host.split(':').next().unwrap_or(host))
        && name.parse::<IpAddr>().is_err()
        && !name.is_empty()
        && block.is_some()
    {
        table.put("server_name", name);
    }
    let shown = certificate::shown(import, service)
        .or_else(|| block.and_then(|block| certificate::shown(import, block)));
    if let Some(pair) = shown {
        table.0.extend(pair.0.iter().cloned());
    }
    table
}

fn timeouts(service: &Node) -> Table {
    let time = |key: &str| {
        let ms = service.whole(key).unwrap_or(TIMEOUT).clamp(1, 24 * 3_600_000);
        show_duration(Duration::from_millis(u64::try_from(ms).unwrap_or(1)))
    };
    Table::new()
        .with("connect", time("connect_timeout"))
        .with("first_byte", time("read_timeout"))
        .with("idle", time("read_timeout"))
}
