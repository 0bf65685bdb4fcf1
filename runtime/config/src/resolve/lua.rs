//! `[lua]`.

use std::net::{IpAddr, SocketAddr};

use super::filter::sorted;
use super::row;
use crate::manifest::{Lua, Resolver};
use crate::raw::{self, At};
use crate::typed::{Refusal, Scene};

pub(super) fn lua(raw: Option<At<raw::Lua>>, scene: &mut Scene<'_>) -> Lua {
    let raw = raw.map(|raw| raw.value).unwrap_or_default();
    let regex = raw.regex.map(|regex| regex.value).unwrap_or_default();
    let timers = raw.timers.map(|timers| timers.value).unwrap_or_default();
    let steps = scene.whole(regex.match_limit.as_ref(), &row::REGEX_STEPS);
    Lua {
        path: path(raw.path.as_ref(), scene),
        memory: scene.size(raw.memory.as_ref(), &row::LUA_MEMORY),
        ffi: raw.ffi.is_some_and(|ffi| ffi.value),
        io: raw.io.is_some_and(|io| io.value),
        resolver: raw.resolver.as_ref().map(|raw| resolver(raw, scene)),
        regex_steps: u32::try_from(steps).unwrap_or(u32::MAX),
        regex_cache: scene.usize(regex.cache.as_ref(), &row::REGEX_CACHE),
        timers_pending: scene.usize(timers.pending.as_ref(), &row::TIMERS_PENDING),
        timers_running: scene.usize(timers.running.as_ref(), &row::TIMERS_RUNNING),
        threads: threads(raw.threads, scene),
        capture_log: raw.capture_log.map_or(0, |size| scene.size(Some(&size), &row::CAPTURE_LOG)),
    }
}

fn path(raw: Option<&At<Vec<At<String>>>>, scene: &mut Scene<'_>) -> Vec<String> {
    let absolute = |scene: &Scene<'_>, text: &str| scene.path(text).display().to_string();
    let Some(patterns) = raw else {
        return ["lua/?.lua", "lua/?/init.lua"].map(|text| absolute(scene, text)).into();
    };
    for pattern in patterns.iter().filter(|pattern| !pattern.contains('?')) {
        let message = format!("{:?} has no `?` for the module's name", pattern.value);
        scene.error(&pattern.place, message, Some("such as \"lua/?.lua\"".into()));
    }
    patterns.iter().map(|pattern| absolute(scene, pattern)).collect()
}

/// More pools, or servers, than that are a mistake.
const MOST: usize = 16;

fn threads(raw: Option<At<raw::Named<raw::Whole>>>, scene: &mut Scene<'_>) -> Vec<(String, usize)> {
    let place = raw.as_ref().map(|raw| raw.key.clone());
    let mut pools = Vec::new();
    for (name, count) in sorted(raw) {
        scene.name(&name, "pool of threads");
        pools.push((name.value, scene.usize(Some(&count), &row::THREADS)));
    }
    if let Some(place) = place.filter(|_| pools.len() > MOST) {
        scene.error(place, format!("at most {MOST} pools of threads"), None);
    }
    pools
}

fn resolver(raw: &At<raw::Resolver>, scene: &mut Scene<'_>) -> Resolver {
    let mut servers = Vec::new();
    if let Some(list) = &raw.servers {
        match list.len() {
            0 => scene.error(&list.place, "a resolver without servers", None),
            1..=MOST => {}
            _ => scene.error(&list.place, format!("at most {MOST} name servers"), None),
        }
        servers.extend(list.iter().filter_map(|text| scene.accept(&text.place, server(text))));
    }
    Resolver {
        servers,
        timeout: scene.time(raw.timeout.as_ref(), &row::RESOLVER_TIMEOUT),
        ipv6: raw.ipv6.as_ref().is_none_or(|on| on.value),
    }
}

/// A name server cannot be asked for by its name.
fn server(text: &str) -> Result<SocketAddr, Refusal> {
    const PORT: u16 = 53;
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let address = address.map(|address| SocketAddr::new(address, PORT));
    address.or_else(|_| text.parse()).map_err(|_| {
        let hint = "such as \"127.0.0.53\" or \"[::1]:5353\"";
        Refusal::new(format!("{text:?} is not the address of a name server"), hint)
    })
}
