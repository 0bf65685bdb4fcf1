//! From the manifest as typed to the manifest as meant. Only this refuses a manifest: it fills in
//! every default, checks every name, quantity and file, and reports all that is wrong at once.

use std::collections::BTreeMap;
use std::path::Path;

use crate::disk::Disk;
use crate::load::Loaded;
use crate::manifest::{Manifest, Program, Redis, Shared};
use crate::raw;
use crate::report::{Problem, Report, Spot};
use crate::typed::Scene;

mod activate;
mod address;
mod admission;
mod check;
mod consumer;
mod error_page;
mod filter;
mod gateway;
mod health;
mod listener;
mod lua;
mod openresty;
mod redis;
mod route;
mod row;
mod shipped;
mod split;
mod target;
mod tie;
mod upstream;

/// Dictionaries that Kong's plugins expect, and their sizes where the manifest does not say others.
const KONG: &[(&str, u64)] = &[
    ("kong", 1 << 20),
    ("kong_db_cache", 8 << 20),
    ("kong_db_cache_miss", 1 << 20),
    ("kong_locks", 256 << 10),
    ("kong_rate_limiting_counters", 4 << 20),
    ("prometheus_metrics", 4 << 20),
];

/// The manifest with its warnings, or every problem of it.
pub(crate) fn resolve(
    root: raw::Root,
    file: &Path,
    disk: &dyn Disk,
    report: Report,
) -> Result<Loaded, Report> {
    let folder = file.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut scene = Scene { folder, disk, report };
    let manifest = whole(root, file, &mut scene);
    let mut report = scene.report;
    report.sort();
    if report.has_errors() { Err(report) } else { Ok(Loaded { manifest, warnings: report }) }
}

fn whole(root: raw::Root, file: &Path, scene: &mut Scene<'_>) -> Manifest {
    let gateway = gateway::gateway(root.gateway.as_ref(), scene);
    let log = gateway::log(root.log.as_ref(), scene);
    let lua = lua::lua(root.lua, scene);
    let wasm = gateway::wasm(root.wasm.as_ref(), scene);
    let redis = redis::redis(root.redis, scene);
    let mut shared = shared(root.shared, &redis, scene);

    // A file that could not be read may hold any name: then none is reported as unknown.
    let complete = !root.broken;
    let nothing_to_serve = complete && root.listeners.as_ref().is_none_or(|list| list.is_empty());
    let upstreams = upstream::upstreams(root.upstreams, complete, scene);
    let mut around = shipped::Around { shared: &mut shared, redis: &redis };
    let mut filters = filter::filters(root.filters, &mut around, scene);
    if filters.list.iter().any(|filter| matches!(filter.program, Program::Kong(_))) {
        for (name, size) in KONG {
            let own = || Shared { size: *size, redis: None };
            shared.entry((*name).to_owned()).or_insert_with(own);
        }
    }
    let modules = filter::modules(root.modules, scene);
    let consumers = consumer::consumers(root.consumers, scene);

    let names = filters.names.clone();
    let dictionaries: Vec<String> = shared.keys().cloned().collect();
    let scripts = filter::those(&filters, |program| !matches!(program, Program::Wasm(_)));
    let shipped = filter::those(&filters, |program| matches!(program, Program::Shipped(_)));
    let names = route::Names {
        complete,
        listeners: &[],
        tcp: &[],
        upstreams: &upstreams,
        filters: &names,
        scripts: &scripts,
        shipped: &shipped,
        shared: &dictionaries,
    };
    let listeners = listener::listeners(root.listeners, gateway.admin.as_ref(), &names, scene);
    if nothing_to_serve {
        let problem = Problem::error(Spot::File(file.into()), "no [[listeners]]: nothing to serve");
        scene.report.push(problem.hint("[[listeners]] with address = \"[::]:8080\""));
    }
    let nothing_to_do = complete && root.routes.as_ref().is_none_or(|list| list.is_empty());
    let (all, tcp) = listener::names(&listeners);
    let nothing_to_do = nothing_to_do && all.len() > tcp.len();
    let names = route::Names { listeners: &all, tcp: &tcp, ..names };
    let routes = route::routes(root.routes, &names, &mut filters, scene);
    if nothing_to_do {
        let message = "no [[routes]]: every request is answered with 404";
        scene.report.push(Problem::warning(Spot::File(file.into()), message));
    }
    if complete {
        filter::unused(&listeners, &routes, &filters, scene);
    }
    Manifest {
        file: file.into(),
        gateway,
        log,
        listeners,
        routes,
        filters: filters.list,
        modules,
        lua,
        wasm,
        shared,
        upstreams: upstreams.list,
        redis,
        consumers,
    }
}

fn shared(
    raw: Option<raw::At<raw::Named<raw::Shared>>>,
    servers: &[Redis],
    scene: &mut Scene<'_>,
) -> BTreeMap<String, Shared> {
    let mut shared = BTreeMap::new();
    for (name, table) in raw.map(|raw| raw.value.0).unwrap_or_default() {
        scene.name(&name, "dictionary");
        let size = scene.size(table.size.as_ref(), &row::SHARED_SIZE);
        let redis = table.redis.as_ref().and_then(|name| shipped::server(name, servers, scene));
        shared.insert(name.value, Shared { size, redis });
    }
    shared
}
