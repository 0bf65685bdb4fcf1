//! Servers: where they listen, and by which names they are found there.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::parse::{Directive, Spot};
use super::{Import, Levels, all, cover, effective, known, location, script, switch, units};
use crate::doc::{self, Table, Value};

/// nginx's own limit of a request's body.
const BODY: u64 = 1 << 20;

/// `[[listeners]]` in the making.
pub(super) struct Listener {
    name: String,
    address: String,
    tls: bool,
    http2: bool,
    http3: bool,
    proxy_protocol: bool,
    certificates: Vec<Table>,
    client_ca: Option<String>,
    filters: Vec<String>,
    limits: Table,
    timeouts: Table,
}

/// `listen`, taken apart.
struct Listen<'c> {
    address: String,
    directive: &'c Directive,
}

impl Listen<'_> {
    fn has(&self, flag: &str) -> bool {
        self.directive.args.iter().skip(1).any(|arg| arg == flag)
    }
}

/// A server with where it is found.
pub(super) struct Server<'c> {
    pub(super) directive: &'c Directive,
    pub(super) http: &'c [Directive],
    /// Its names as `server_name` has them.
    pub(super) names: Vec<String>,
}

impl<'c> Server<'c> {
    pub(super) fn levels(&self) -> Levels<'c> {
        vec![self.directive.children(), self.http]
    }
}

/// One way to a server: listeners, and the host where another server is the default there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) listeners: Vec<String>,
    pub(super) host: Option<String>,
}

pub(super) fn servers(import: &mut Import<'_>, http: &[Directive]) {
    let servers: Vec<Server<'_>> = http
        .iter()
        .filter(|directive| directive.name == "server" && directive.block.is_some())
        .map(|directive| {
            let names = directive.children().iter().filter(|one| one.name == "server_name");
            let names = names.flat_map(|one| one.args.iter().cloned()).collect();
            Server { directive, http, names }
        })
        .collect();
    let listens: Vec<Vec<Listen<'_>>> =
        servers.iter().map(|server| listens(import, server.directive)).collect();
    let merged = both_families(&listens);
    let listens: Vec<Vec<Listen<'_>>> = listens.into_iter().map(|all| join(all, &merged)).collect();
    let mut defaults: Vec<(String, usize)> = Vec::new();
    for (at, server) in servers.iter().enumerate() {
        for listen in &listens[at] {
            listener(import, server, listen);
            let explicit = listen.has("default_server") || listen.has("default");
            match defaults.iter_mut().find(|(address, _)| *address == listen.address) {
                None => defaults.push((listen.address.clone(), at)),
                Some((_, default)) if explicit => *default = at,
                Some(_) => {}
            }
        }
    }
    without_certificate(import, &servers, &listens);
    let mut taken = BTreeSet::new();
    for (at, server) in servers.iter().enumerate() {
        let is_default = |address: &str| defaults.contains(&(address.to_owned(), at));
        let ways = ways(import, server, &listens[at], is_default, &mut taken);
        if !ways.is_empty() {
            let last_resort = ways.iter().any(|way| way.host.is_some());
            location::locations(import, server, &ways, last_resort);
        }
    }
}

fn listens<'c>(import: &mut Import<'_>, server: &'c Directive) -> Vec<Listen<'c>> {
    let mut found = Vec::new();
    for directive in server.children().iter().filter(|one| one.name == "listen") {
        match address(directive.arg(0)) {
            Some(address) => found.push(Listen { address, directive }),
            None => {
                let what = format!("{:?} is no address to listen on", directive.arg(0));
                import.note(&directive.spot, what, "write an IP address and a port");
            }
        }
    }
    if !server.children().iter().any(|one| one.name == "listen") {
        found.push(Listen { address: "0.0.0.0:80".to_owned(), directive: server });
    }
    found
}

/// In the manifest's form.
fn address(text: &str) -> Option<String> {
    if text.starts_with("unix:") {
        return Some(text.to_owned());
    }
    if let Ok(port) = text.parse::<u16>() {
        return Some(format!("0.0.0.0:{port}"));
    }
    let text = text.replace("*:", "0.0.0.0:").replace("localhost", "127.0.0.1");
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.to_string());
    }
    let alone = text.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(alone, 80).to_string())
}

/// Ports that are listened on over IPv4 and IPv6: `[::]` is both here.
fn both_families(listens: &[Vec<Listen<'_>>]) -> Vec<String> {
    let has = |address: &str| listens.iter().flatten().any(|listen| listen.address == address);
    let ports = listens.iter().flatten().filter_map(|l| l.address.strip_prefix("[::]:"));
    let mut ports: Vec<String> =
        ports.filter(|port| has(&format!("0.0.0.0:{port}"))).map(str::to_owned).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn join<'c>(listens: Vec<Listen<'c>>, ports: &[String]) -> Vec<Listen<'c>> {
    let mut listens = listens;
    for listen in &mut listens {
        if let Some(port) = listen.address.strip_prefix("0.0.0.0:")
            && ports.iter().any(|both| both == port)
        {
            listen.address = format!("[::]:{port}");
        }
    }
    listens
}

/// Adds what a server says of an address to the listener of that address.
fn listener(import: &mut Import<'_>, server: &Server<'_>, listen: &Listen<'_>) {
    let levels = server.levels();
    let at = match import.listeners.iter().position(|one| one.address == listen.address) {
        Some(at) => at,
        None => {
            let made = fresh(import, &levels, listen);
            import.listeners.push(made);
            import.listeners.len() - 1
        }
    };
    let tls = listen.has("ssl") || listen.has("quic") || switch(&levels, "ssl", false);
    let certificates = if tls { certificates(import, &levels) } else { Vec::new() };
    let ca = if tls { client_ca(import, &levels) } else { None };
    let filters = if tls { handshake(import, &levels) } else { None };
    let listener = &mut import.listeners[at];
    listener.tls |= tls;
    listener.http2 |= listen.has("http2") || switch(&levels, "http2", false);
    listener.http3 |= listen.has("quic");
    listener.proxy_protocol |= listen.has("proxy_protocol");
    for pair in certificates {
        if !listener.certificates.contains(&pair) {
            listener.certificates.push(pair);
        }
    }
    let other_ca = listener.client_ca.is_some() && ca.is_some() && listener.client_ca != ca;
    if listener.client_ca.is_none() {
        listener.client_ca = ca;
    }
    if let Some(filter) = filters
        && !listener.filters.contains(&filter)
    {
        listener.filters.push(filter);
    }
    let several = listener.filters.len() > 1;
    let spot = &listen.directive.spot;
    if other_ca {
        let todo = "one listener asks for certificates of one client_ca; give it an address apart";
        import.note(spot, "servers of one address trust different authorities", todo);
    }
    if several {
        let todo = "tell them apart in one script (ngx.ssl.server_name)";
        import.note(spot, "servers of one address have TLS scripts that differ", todo);
    }
}

fn fresh(import: &mut Import<'_>, levels: &Levels<'_>, listen: &Listen<'_>) -> Listener {
    let tls = listen.has("ssl") || listen.has("quic");
    let port = listen.address.rsplit(':').next().unwrap_or("");
    let base = match listen.address.strip_prefix("unix:") {
        Some(path) => format!("unix-{}", doc::name(path, "socket")),
        None if tls => format!("https-{port}"),
        None => format!("http-{port}"),
    };
    let name = doc::free(&base, |name| !import.listeners.iter().any(|one| one.name == name));
    let mut limits = Table::new();
    // The whole http block's: servers and locations may have others.
    let body = effective(&levels[levels.len() - 1..], "client_max_body_size");
    let body = body.and_then(|body| units::size(body.arg(0))).unwrap_or(BODY);
    limits.put("body_bytes", shown_body(body));
    if let Some(buffers) = effective(levels, "large_client_header_buffers")
        && let (Ok(count), Some(size)) =
            (buffers.arg(0).parse::<u64>(), units::size(buffers.arg(1)))
    {
        let head = count.saturating_mul(size).clamp(1 << 10, 1 << 20);
        limits.put("header_bytes", units::shown_size(head));
        limits.put("uri_bytes", units::shown_size(size.clamp(64, 256 << 10)));
    }
    let mut timeouts = Table::new();
    for (directive, key) in [
        ("client_header_timeout", "header"),
        ("client_body_timeout", "body_idle"),
        ("keepalive_timeout", "keepalive"),
    ] {
        let Some(found) = effective(levels, directive) else { continue };
        match units::time(found.arg(0)) {
            Some(time) if time.is_zero() => {
                let what = format!("`{directive} 0`: connections are kept for a moment");
                import.note(&found.spot, what, "the least that a timeout can be is 1ms");
                timeouts.put(key, units::shown(time));
            }
            Some(time) => timeouts.put(key, units::shown(time)),
            None => {}
        }
    }
    Listener {
        name,
        address: listen.address.clone(),
        tls: false,
        http2: false,
        http3: false,
        proxy_protocol: false,
        certificates: Vec::new(),
        client_ca: None,
        filters: Vec::new(),
        limits,
        timeouts,
    }
}

/// nginx's 0 is no limit.
pub(super) fn shown_body(bytes: u64) -> String {
    units::shown_size(if bytes == 0 { 1 << 40 } else { bytes })
}

fn certificates(import: &mut Import<'_>, levels: &Levels<'_>) -> Vec<Table> {
    let certificates = all(levels, "ssl_certificate");
    let keys = all(levels, "ssl_certificate_key");
    let early = switch(levels, "ssl_early_data", false);
    let mut pairs = Vec::new();
    for (certificate, key) in certificates.iter().zip(keys) {
        let fixed = |text: &str| super::var::is_constant(text) && !text.contains(':');
        if !fixed(certificate.arg(0)) || !fixed(key.arg(0)) {
            let what = format!("the certificate {} is no file", certificate.arg(0));
            let todo =
                "list each certificate in tls of the listener, or use ssl_certificate_by_lua";
            import.note(&certificate.spot, what, todo);
            continue;
        }
        let mut pair = Table::new()
            .with("certificate", import.beside(certificate.arg(0)))
            .with("key", import.beside(key.arg(0)));
        if early {
            pair.put("early_data", true);
        }
        pairs.push(pair);
    }
    if let Some(protocols) = effective(levels, "ssl_protocols")
        && !protocols.args.iter().any(|one| one == "TLSv1.2")
    {
        let todo = "the listener speaks TLS 1.2, too: see that this is fine";
        import.note(&protocols.spot, "`ssl_protocols` is left out", todo);
    }
    pairs
}

fn client_ca(import: &mut Import<'_>, levels: &Levels<'_>) -> Option<String> {
    let verify = effective(levels, "ssl_verify_client")?;
    match verify.arg(0) {
        "off" => None,
        how => {
            if how != "on" {
                let what =
                    format!("`ssl_verify_client {how}`: every client must show a certificate");
                import.note(&verify.spot, what, "give those without one a listener of their own");
            }
            let ca = effective(levels, "ssl_client_certificate")?;
            Some(import.beside(ca.arg(0)))
        }
    }
}

/// The scripts of a TLS handshake.
fn handshake(import: &mut Import<'_>, levels: &Levels<'_>) -> Option<String> {
    const PHASES: &[&str] =
        &["ssl_client_hello", "ssl_certificate", "ssl_session_fetch", "ssl_session_store"];
    let mut phases = Table::new();
    for phase in PHASES {
        let is = |one: &&Directive| known::phase(&one.name).is_some_and(|(name, _)| name == *phase);
        if let Some(found) = levels.iter().find_map(|level| level.iter().find(is)) {
            let path = script::file(import, found, phase, 0);
            phases.put(phase, path);
        }
    }
    if phases.is_empty() {
        return None;
    }
    script::with_settings(import, levels, &mut phases);
    Some(script::filter(import, "tls", phases))
}

/// Takes away listeners that would speak TLS and have no certificate: in clear text they must not be.
fn without_certificate(
    import: &mut Import<'_>,
    servers: &[Server<'_>],
    listens: &[Vec<Listen<'_>>],
) {
    let bare = |one: &Listener| one.tls && one.certificates.is_empty();
    let gone: Vec<String> =
        import.listeners.iter().filter(|one| bare(one)).map(|one| one.address.clone()).collect();
    for address in &gone {
        let all = servers.iter().zip(listens);
        let spots = all.flat_map(|(server, listens)| {
            listens.iter().filter(|one| one.address == *address).map(|_| &server.directive.spot)
        });
        let spot: Option<Spot> = spots.into_iter().next().cloned();
        if let Some(spot) = spot {
            let what = format!("nothing listens on {address}: it has no certificate");
            import.note(&spot, what, "add a listener with tls = { certificate, key }");
        }
    }
    import.listeners.retain(|one| !gone.contains(&one.address));
}

/// By which listeners and hosts a server is found. Hosts that lead to an earlier server are left out.
fn ways(
    import: &mut Import<'_>,
    server: &Server<'_>,
    listens: &[Listen<'_>],
    is_default: impl Fn(&str) -> bool,
    taken: &mut BTreeSet<(String, Option<String>)>,
) -> Vec<Way> {
    let hosts = cover::hosts(import, server);
    let mut ways: Vec<Way> = Vec::new();
    let mut doubled = false;
    for listen in listens {
        let found = import.listeners.iter().find(|one| one.address == listen.address);
        let Some(name) = found.map(|one| one.name.clone()) else { continue };
        let of_this = match is_default(&listen.address) {
            true => vec![None],
            false => hosts.iter().cloned().map(Some).collect(),
        };
        for host in of_this {
            if ways.iter().any(|way| way.host == host && way.listeners.contains(&name)) {
                continue;
            }
            if !taken.insert((name.clone(), host.clone())) {
                doubled = true;
                continue;
            }
            match ways.iter_mut().find(|way| way.host == host) {
                Some(way) => way.listeners.push(name.clone()),
                None => ways.push(Way { listeners: vec![name.clone()], host }),
            }
        }
    }
    if doubled {
        let todo = "requests go to the first server; remove the name here";
        import.note(&server.directive.spot, "another server has the same name already", todo);
    }
    // Where a server is found through each listener, the match need not name them.
    for way in &mut ways {
        way.listeners.dedup();
        if way.listeners.len() == import.listeners.len() {
            way.listeners.clear();
        }
    }
    ways
}

impl Listener {
    pub(super) fn table(self) -> Table {
        let mut table = Table::new().with("name", self.name).with("address", self.address);
        let mut protocols = vec!["http1"];
        if self.http2 {
            protocols.push("http2");
        }
        if self.http3 {
            protocols.push("http3");
        }
        table.put("protocols", protocols);
        if self.tls {
            let mut pairs: Vec<Value> = self.certificates.into_iter().map(Value::Table).collect();
            match pairs.pop() {
                Some(only) if pairs.is_empty() => table.put("tls", only),
                Some(last) => {
                    pairs.push(last);
                    table.put("tls", Value::List(pairs));
                }
                None => {}
            }
        }
        if let Some(ca) = self.client_ca {
            table.put("client_ca", ca);
        }
        if self.proxy_protocol {
            table.put("proxy_protocol", true);
        }
        if !self.filters.is_empty() {
            table.put("filters", self.filters);
        }
        if !self.limits.is_empty() {
            table.put("limits", self.limits);
        }
        if !self.timeouts.is_empty() {
            table.put("timeouts", self.timeouts);
        }
        table
    }
}
