//! Servers: where they listen, and by which names they are found there.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::parse::{Directive, Spot};
use super::{Import, Levels, cover, listener, location};

/// `listen`, taken apart.
pub(super) struct Listen<'c> {
    pub(super) address: String,
    pub(super) directive: &'c Directive,
}

impl Listen<'_> {
    pub(super) fn has(&self, flag: &str) -> bool {
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
            listener::take(import, server, listen);
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

/// Takes away listeners that would speak TLS and have no certificate: in clear text they must not be.
fn without_certificate(
    import: &mut Import<'_>,
    servers: &[Server<'_>],
    listens: &[Vec<Listen<'_>>],
) {
    let bare = import.listeners.iter().filter(|one| one.is_bare());
    let gone: Vec<String> = bare.map(|one| one.address.clone()).collect();
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
