//! What names stand for: asked again when what was said is too old.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use pilotlight_config::manifest::{Endpoint, Lookup, Resolver};
use tokio::task::JoinSet;

use crate::services::resolver;
use crate::upstream::{Answer, Found};
use crate::worker::Worker;

/// How long an answer holds, whatever its server says.
const TTL_MIN: Duration = Duration::from_secs(1);
const TTL_MAX: Duration = Duration::from_secs(300);
/// The system does not say how long its answers hold.
const TTL_SYSTEM: Duration = Duration::from_secs(10);
/// The longest pause after look-ups that failed; the first is a second, the next one twice as long.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Servers of a service that are looked up.
const SERVERS_MAX: usize = 32;
/// For a whole look-up by the system's servers.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Which those are.
const SYSTEM: &str = "/etc/resolv.conf";

/// How long to wait after so many failures in a row.
pub(super) fn pause(failed: u32) -> Duration {
    Duration::from_secs(1 << (failed.clamp(1, 6) - 1)).min(PAUSE_MAX)
}

/// What a source stands for, and how long that holds.
pub(super) async fn look(
    worker: Rc<Worker>,
    source: Endpoint,
) -> Result<(Answer, Duration), String> {
    let resolver = worker.local().generation.manifest.resolver().cloned();
    let (answer, ttl) = match source.lookup {
        Lookup::Srv => servers(resolver.unwrap_or_else(system), &source).await?,
        _ => {
            let (addresses, ttl) = addresses(resolver.as_ref(), &source.host).await?;
            let found = addresses.into_iter().map(|address| Found {
                address,
                port: source.port,
                host: source.host.clone(),
                weight: source.weight,
                priority: 0,
            });
            (Answer { found: found.collect(), lost: Vec::new() }, ttl)
        }
    };
    Ok((answer, ttl.clamp(TTL_MIN, TTL_MAX)))
}

async fn addresses(
    resolver: Option<&Resolver>,
    name: &str,
) -> Result<(Vec<IpAddr>, Duration), String> {
    match resolver {
        Some(resolver) => resolver::addresses(resolver, name).await,
        None => Ok((resolver::by_system(name.to_owned()).await?, TTL_SYSTEM)),
    }
}

/// The addresses of a service's servers.
async fn servers(resolver: Resolver, source: &Endpoint) -> Result<(Answer, Duration), String> {
    let (mut servers, mut holds) = resolver::services(&resolver, &source.host).await?;
    // RFC 2782: the root is a service that is decidedly not there.
    servers.retain(|server| !server.name.is_empty() && server.name != ".");
    servers.sort_by(|a, b| (a.priority, &a.name, a.port).cmp(&(b.priority, &b.name, b.port)));
    servers.truncate(SERVERS_MAX);
    // As other sources have it.
    let first = servers.first().map_or(0, |server| server.priority);
    let resolver = Rc::new(resolver);
    let mut looks = JoinSet::new();
    for server in servers {
        let resolver = resolver.clone();
        looks.spawn_local(async move {
            let outcome = resolver::addresses(&resolver, &server.name).await;
            (server, outcome)
        });
    }
    let mut answer = Answer::default();
    while let Some(look) = looks.join_next().await {
        let Ok((server, outcome)) = look else { continue };
        match outcome {
            Ok((addresses, ttl)) => {
                holds = holds.min(ttl);
                answer.found.extend(addresses.into_iter().map(|address| Found {
                    address,
                    port: server.port,
                    host: server.name.clone(),
                    // A weight of 0 is next to nothing, beside others; and alone it is all.
                    weight: u32::from(server.weight).max(1) * source.weight,
                    priority: server.priority - first,
                }));
            }
            Err(why) => {
                holds = holds.min(PAUSE_MAX);
                answer.lost.push((server.name, why));
            }
        }
    }
    match answer.lost.pop_if(|_| answer.found.is_empty()) {
        Some((_, why)) => Err(why),
        None => Ok((answer, holds)),
    }
}

fn system() -> Resolver {
    let text = std::fs::read_to_string(SYSTEM).unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
    let servers =
        servers.filter_map(|server| server.split_whitespace().next()?.parse::<IpAddr>().ok());
    let mut servers: Vec<SocketAddr> = servers.map(|server| (server, 53).into()).collect();
    if servers.is_empty() {
        // As the C library has it.
        servers.push(([127, 0, 0, 1], 53).into());
    }
    Resolver { servers, timeout: TIMEOUT, ipv6: true }
}
