//! What changed from one manifest to the next, for the log of a reload.

use std::sync::Arc;

use crate::manifest::{Filter, Listener, Manifest, Module, Route, Target, Upstream};
use crate::place::Place;

/// One sentence for each listener, route, filter, module and upstream that was added, removed or
/// changed, and for each group of settings. Empty: nothing changed, though files that the manifest
/// names may have. Moving things within the file is no change; the order of routes has no meaning.
pub fn diff(old: &Manifest, new: &Manifest) -> Vec<String> {
    let mut out = Vec::new();
    let pairs = [
        ("the gateway's settings", debug(&old.gateway), debug(&new.gateway)),
        ("the log's settings", debug(&old.log), debug(&new.log)),
        ("the Lua engine's settings", debug(&old.lua), debug(&new.lua)),
        ("the Wasm engine's settings", debug(&old.wasm), debug(&new.wasm)),
        ("the shared dictionaries", debug(&old.shared), debug(&new.shared)),
        ("the Redis servers", debug(&old.redis), debug(&new.redis)),
        ("the consumers", debug(&old.consumers), debug(&new.consumers)),
    ];
    for (what, old, new) in pairs {
        if old != new {
            out.push(format!("{what} changed"));
        }
    }
    let both = |part: fn(&Manifest) -> Vec<Thing>| (part(old), part(new));
    compare("listener", both(|m| m.listeners.iter().map(|l| listener(l, m)).collect()), &mut out);
    compare("route", both(|m| m.routes.iter().map(|r| route(r, m)).collect()), &mut out);
    compare("filter", both(|m| m.filters.iter().map(filter).collect()), &mut out);
    compare("module", both(|m| m.modules.iter().map(module).collect()), &mut out);
    compare("upstream", both(|m| m.upstreams.iter().map(upstream).collect()), &mut out);
    out
}

/// A name, and everything that makes the thing what it is: no places, no indexes.
type Thing = (String, String);

fn compare(noun: &str, (old, new): (Vec<Thing>, Vec<Thing>), out: &mut Vec<String>) {
    for (name, _) in old.iter().filter(|(name, _)| !new.iter().any(|(other, _)| other == name)) {
        out.push(format!("{noun} {name:?} removed"));
    }
    for (name, content) in &new {
        match old.iter().find(|(other, _)| other == name) {
            None => out.push(format!("{noun} {name:?} added")),
            Some((_, before)) if before != content => out.push(format!("{noun} {name:?} changed")),
            Some(_) => {}
        }
    }
}

/// Reloads are rare: the text form is a comparison that no new field can be forgotten in.
fn debug(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

/// A chain by the names of its filters.
fn chain(filters: &[usize], manifest: &Manifest) -> Vec<Arc<str>> {
    let name = |at: &usize| manifest.filters.get(*at).map(|filter| filter.name.clone());
    filters.iter().filter_map(name).collect()
}

fn listener(listener: &Listener, manifest: &Manifest) -> Thing {
    let chain = chain(&listener.filters, manifest);
    let upstream = |at: usize| manifest.upstreams.get(at).map(|upstream| &upstream.name);
    let upstream = debug(&listener.tcp.and_then(upstream));
    let mut listener = Listener {
        place: Place::default(),
        filters: Vec::new(),
        tcp: listener.tcp.map(|_| 0),
        ..listener.clone()
    };
    for pair in listener.tls.iter_mut().flat_map(|tls| &mut tls.certificates) {
        pair.place = Place::default();
    }
    (listener.name.to_string(), format!("{chain:?} {upstream} {listener:?}"))
}

fn route(route: &Route, manifest: &Manifest) -> Thing {
    let chain = chain(&route.filters, manifest);
    let target = match &route.target {
        Target::Upstream(at) | Target::Split(at) => {
            debug(&manifest.upstreams.get(*at).map(|upstream| &upstream.name))
        }
        Target::Script(at) => debug(&manifest.filters.get(*at).map(|filter| &filter.program)),
        other => debug(other),
    };
    let bare = Route {
        place: Place::default(),
        filters: Vec::new(),
        target: Target::Script(0),
        ..route.clone()
    };
    (route.name.to_string(), format!("{chain:?} {target} {bare:?}"))
}

fn filter(filter: &Filter) -> Thing {
    let bare = Filter { place: Place::default(), ..filter.clone() };
    (filter.name.to_string(), debug(&bare))
}

fn module(module: &Module) -> Thing {
    let mut bare = Module { place: Place::default(), ..module.clone() };
    for function in &mut bare.functions {
        function.place = Place::default();
    }
    (module.name.to_string(), debug(&bare))
}

fn upstream(upstream: &Upstream) -> Thing {
    let mut bare = Upstream { place: Place::default(), ..upstream.clone() };
    for endpoint in &mut bare.endpoints {
        endpoint.place = Place::default();
    }
    for variant in bare.split.iter_mut().flat_map(|split| &mut split.variants) {
        // Its name says it.
        variant.upstream = 0;
    }
    (upstream.name.to_string(), debug(&bare))
}

#[cfg(test)]
mod tests;
