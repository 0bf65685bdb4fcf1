//! `upstream` blocks and servers of `proxy_pass` as `[upstreams.NAME]`.

use super::location::Here;
use super::parse::Directive;
use super::{Import, effective, script, switch, units};
use crate::doc::{self, Table, Value};

/// What a location's requests go to.
pub(super) struct Reached {
    pub(super) name: String,
    pub(super) endpoints: usize,
    /// The script that picks the endpoint.
    pub(super) balancer: Option<String>,
}

/// The upstream for a scheme and host, made if there is none that says the same.
pub(super) fn upstream(
    import: &mut Import<'_>,
    here: &Here<'_>,
    scheme: &str,
    host: &str,
    directive: &Directive,
) -> Reached {
    let http = here.levels.last().copied().unwrap_or_default();
    let block = http.iter().find(|one| one.name == "upstream" && one.arg(0) == host);
    let grpc = scheme.starts_with("grpc");
    let tls = scheme == "https" || scheme == "grpcs";
    let mut table = Table::new();
    let mut balancer = None;
    let mut endpoints = Vec::new();
    match block {
        Some(block) => {
            for server in block.children().iter().filter(|one| one.name == "server") {
                endpoints.extend(endpoint(import, tls, server));
            }
            balancer = block
                .children()
                .iter()
                .find(|one| one.name.starts_with("balancer_by_lua"))
                .map(|one| script::file(import, one, "balancer", 0));
        }
        None => endpoints.push(url(tls, host)),
    }
    if endpoints.is_empty() {
        let what = format!("no server of the upstream {host} is left");
        import.note(&directive.spot, what, "list its endpoints; until then it is a closed port");
        endpoints.push(url(tls, "127.0.0.1:1"));
    }
    let count = endpoints.len();
    table.put("endpoints", Value::List(endpoints));
    if let Some(block) = block {
        block_keys(import, block, &mut table);
    }
    if grpc {
        table.put("protocol", "http2");
    }
    if tls {
        table.put("tls", self::tls(import, here, host));
    }
    let timeouts = timeouts(here);
    if !timeouts.is_empty() {
        table.put("timeouts", timeouts);
    }
    let base = doc::name(host, "upstream");
    let same = import.upstreams.iter().find(|(name, known)| {
        *known == table && (*name == base || name.starts_with(&format!("{base}-")))
    });
    let name = match same {
        Some((name, _)) => name.clone(),
        None => {
            let name = doc::free(&base, |name| !import.upstreams.iter().any(|(n, _)| n == name));
            import.upstreams.push((name.clone(), table));
            name
        }
    };
    Reached { name, endpoints: count, balancer }
}

fn url(tls: bool, host: &str) -> Value {
    match host.strip_prefix("unix:") {
        Some(_) if tls => Table::new().with("url", host).with("tls", true).into(),
        Some(_) => host.into(),
        None => format!("{}://{host}", if tls { "https" } else { "http" }).into(),
    }
}

/// `server ADDRESS weight=N ...`.
fn endpoint(import: &mut Import<'_>, tls: bool, server: &Directive) -> Option<Value> {
    let (mut weight, mut left) = (None, Vec::new());
    for arg in &server.args[1.min(server.args.len())..] {
        match arg.split_once('=') {
            Some(("weight", number)) => weight = number.parse::<i64>().ok(),
            Some(("max_fails" | "fail_timeout" | "slow_start" | "max_conns", _)) => {
                left.push(format!("`{arg}`"));
            }
            _ if arg == "down" => return None,
            _ if arg == "backup" => {
                let what = format!("the backup server {} is left out", server.arg(0));
                let todo = "a route with errors = [{ on = [502, 503], to = \"@backup\" }] may do";
                import.note(&server.spot, what, todo);
                return None;
            }
            _ => {}
        }
    }
    if !left.is_empty() {
        let what = format!("of the server {} is left out: {}", server.arg(0), left.join(", "));
        let todo = "the gateway has breaker and retries for the whole upstream";
        import.note(&server.spot, what, todo);
    }
    let host = server.arg(0);
    // nginx's port of a server without one, whatever is spoken there.
    let bare = !host.starts_with("unix:") && !host.contains(':') || host.ends_with(']');
    let host = if bare { format!("{host}:80") } else { host.to_owned() };
    let url = url(tls, &host);
    Some(match (weight, url) {
        (None | Some(1), url) => url,
        (Some(weight), Value::Table(table)) => table.with("weight", weight.clamp(1, 65_535)).into(),
        (Some(weight), url) => {
            Table::new().with("url", url).with("weight", weight.clamp(1, 65_535)).into()
        }
    })
}

fn block_keys(import: &mut Import<'_>, block: &Directive, table: &mut Table) {
    for one in block.children() {
        match one.name.as_str() {
            "least_conn" => table.put("balance", "least-request"),
            "random" => table.put("balance", "random"),
            "ip_hash" | "hash" => {
                let what = format!("`{}`: endpoints are taken in turn", one.name);
                import.note(&one.spot, what, "pick the endpoint in a balancer script");
            }
            "keepalive" => {
                if let Ok(number) = one.arg(0).parse::<i64>() {
                    table.put_in("pool.per_endpoint", number.clamp(0, 65_535));
                }
            }
            "keepalive_timeout" => {
                if let Some(time) = units::time(one.arg(0)) {
                    table.put_in("pool.idle", units::shown(time));
                }
            }
            _ => {}
        }
    }
}

/// nginx checks no certificates of upstreams unless it is told to.
fn tls(import: &mut Import<'_>, here: &Here<'_>, host: &str) -> Table {
    let verify = switch(&here.levels, "proxy_ssl_verify", false);
    let mut table = Table::new();
    if !verify {
        table.put("verify", false);
    }
    let mut file = |directive: &str, key: &str| {
        if let Some(found) = effective(&here.levels, directive)
            && (key != "ca" || verify)
        {
            let path = import.beside(found.arg(0));
            table.put(key, path);
        }
    };
    file("proxy_ssl_trusted_certificate", "ca");
    file("proxy_ssl_certificate", "certificate");
    file("proxy_ssl_certificate_key", "key");
    let name = effective(&here.levels, "proxy_ssl_name").map(|name| name.arg(0));
    let plain = |name: &&str| !name.contains(['$', ':', '/']) && !name.is_empty();
    let own = Some(host.split(':').next().unwrap_or(host)).filter(|_| verify);
    if let Some(name) = name.or(own).filter(plain) {
        table.put("server_name", name);
    }
    table
}

fn timeouts(here: &Here<'_>) -> Table {
    let time =
        |name: &str| effective(&here.levels, name).and_then(|found| units::time(found.arg(0)));
    let mut table = Table::new();
    if let Some(connect) = time("proxy_connect_timeout").or(time("grpc_connect_timeout")) {
        table.put("connect", units::shown(connect));
    }
    // nginx waits a minute where nothing is said.
    let read = time("proxy_read_timeout").or(time("grpc_read_timeout"));
    table.put("first_byte", units::shown(read.unwrap_or(std::time::Duration::from_secs(60))));
    if let Some(read) = read {
        table.put("idle", units::shown(read));
    }
    table
}
