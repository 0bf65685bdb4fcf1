//! `[[listeners]]`: what the servers of an address say of it.

use super::parse::Directive;
use super::server::{Listen, Server};
use super::{Import, Levels, all, effective, known, script, switch, units};
use crate::doc::{self, Table, Value};

/// nginx's own limit of a request's body.
const BODY: u64 = 1 << 20;

/// `[[listeners]]` in the making.
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) address: String,
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

/// Adds what a server says of an address to the listener of that address.
pub(super) fn take(import: &mut Import<'_>, server: &Server<'_>, listen: &Listen<'_>) {
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
    let some_ask = listener.tls && tls && listener.client_ca.is_some() != ca.is_some();
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
    if some_ask {
        let todo = "give those that ask nobody an address of their own";
        import.note(spot, "servers of one address ask all clients for certificates", todo);
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

/// Whom clients must be known to.
fn client_ca(import: &mut Import<'_>, levels: &Levels<'_>) -> Option<String> {
    let verify = effective(levels, "ssl_verify_client").filter(|one| one.arg(0) != "off")?;
    let how = verify.arg(0);
    let named = effective(levels, "ssl_client_certificate");
    let trusted = effective(levels, "ssl_trusted_certificate");
    let Some(ca) = named.or(trusted) else {
        let what = format!("`ssl_verify_client {how}` without authorities: nobody is asked");
        import.note(&verify.spot, what, "name them by client_ca of the listener");
        return None;
    };
    if how != "on" {
        let what = format!("`ssl_verify_client {how}`: every client must show a certificate");
        import.note(&verify.spot, what, "give those without one a listener of their own");
    }
    if let (Some(_), Some(trusted)) = (named, trusted) {
        let what = "clients that only `ssl_trusted_certificate` vouches for are refused";
        import.note(&trusted.spot, what, "write both into the file of client_ca, if they may pass");
    }
    if let Some(depth) = effective(levels, "ssl_verify_depth") {
        let what = "`ssl_verify_depth` is left out: chains of clients may be longer";
        import.note(&depth.spot, what, "let client_ca be the authority that signs them itself");
    }
    Some(import.beside(ca.arg(0)))
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

impl Listener {
    /// It would speak TLS, and has no certificate.
    pub(super) fn is_bare(&self) -> bool {
        self.tls && self.certificates.is_empty()
    }

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
