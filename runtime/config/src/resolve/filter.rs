//! `[filters]` and `[modules]`.

use std::sync::Arc;

use super::route::Names;
use super::shipped::{self, Around};
use super::{check, openresty, row};
use crate::manifest::{
    Filter, FilterConfig, Function, Isolation, Listener, Module, OnError, Program, ProxyWasm,
    Route, Target, ValueType,
};
use crate::place::Place;
use crate::raw::{self, At, Named, TextOr};
use crate::report::Problem;
use crate::typed::{Refusal, Scene};

/// Filters as they are found, and the names that chains may use.
pub(super) struct Filters {
    pub(super) list: Vec<Filter>,
    /// In the order of `list`; one that could not be resolved has a name, too.
    pub(super) names: Vec<String>,
    /// In the order of `names`.
    pub(super) answers: Vec<Answers>,
}

/// Whether a filter is the target of routes that name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    No,
    Yes,
    /// What it is could not be read.
    Perhaps,
}

/// The tables of names in the order of the names, whichever file they come from.
pub(super) fn sorted<T>(raw: Option<At<Named<T>>>) -> Vec<(At<String>, At<T>)> {
    let mut tables = raw.map(|raw| raw.value.0).unwrap_or_default();
    tables.sort_by(|(a, _), (b, _)| a.value.cmp(&b.value));
    tables
}

pub(super) fn filters(
    raw: Option<At<Named<raw::Filter>>>,
    around: &mut Around<'_>,
    scene: &mut Scene<'_>,
) -> Filters {
    let broken = raw.as_ref().map(|raw| raw.value.1.clone()).unwrap_or_default();
    let mut filters = Filters { list: Vec::new(), names: Vec::new(), answers: Vec::new() };
    for (name, table) in sorted(raw) {
        scene.name(&name, "filter");
        filters.answers.push(answers(&table));
        // A filter that failed leaves a gap: indexes are only used when nothing failed.
        filters.list.extend(filter(&name, table, around, scene));
        filters.names.push(name.value);
    }
    filters.answers.extend(broken.iter().map(|_| Answers::Perhaps));
    filters.names.extend(broken);
    filters
}

/// The names of such filters.
pub(super) fn those(filters: &Filters, are: impl Fn(&Program) -> bool) -> Vec<String> {
    let such = filters.list.iter().filter(|filter| are(&filter.program));
    such.map(|filter| filter.name.to_string()).collect()
}

fn answers(raw: &raw::Filter) -> Answers {
    match &raw.openresty {
        _ if raw.r#use.as_ref().is_some_and(|ships| ships.value == raw::Ships::Scaler) => {
            Answers::Yes
        }
        Some(scripts) if scripts.content.is_some() => Answers::Yes,
        Some(scripts) if scripts.broken => Answers::Perhaps,
        None if raw.broken => Answers::Perhaps,
        _ => Answers::No,
    }
}

/// The filter that a route's `lua` target stands for.
pub(super) fn script(route: &str, path: &At<String>, scene: &mut Scene<'_>) -> Filter {
    Filter {
        name: format!("route:{route}").into(),
        place: path.place.clone(),
        program: Program::Lua(scene.file(path, "the script")),
        config: FilterConfig::None,
        cpu: scene.time(None, &row::FILTER_CPU),
        memory: None,
        on_error: OnError::Close,
        isolation: Isolation::Worker,
        proxy: ProxyWasm::default(),
    }
}

/// The filter that a route's `component` target stands for.
pub(super) fn component(
    route: &str,
    raw: &At<Box<TextOr<raw::Component>>>,
    names: &Names<'_>,
    scene: &mut Scene<'_>,
) -> Option<Filter> {
    let name = format!("route:{route}").into();
    let (place, on_error, isolation) = (raw.place.clone(), OnError::Close, Isolation::Stream);
    let proxy = ProxyWasm::default();
    let table = match &*raw.value {
        TextOr::Text(path) => {
            let path = At { value: path.clone(), place: place.clone(), key: raw.key.clone() };
            let program = Program::Component(scene.file(&path, "the component"));
            let (config, cpu) = (FilterConfig::None, scene.time(None, &row::MODULE_CPU));
            return Some(Filter {
                name,
                place,
                program,
                config,
                cpu,
                memory: None,
                on_error,
                isolation,
                proxy,
            });
        }
        TextOr::Other(table) => table,
    };
    let limits = table.limits.as_ref().map(|limits| &limits.value);
    let cpu = scene.time(limits.and_then(|limits| limits.cpu.as_ref()), &row::MODULE_CPU);
    let memory = limits.and_then(|limits| limits.memory.as_ref());
    let memory = memory.map(|memory| scene.size(Some(memory), &row::FILTER_MEMORY));
    let all = |pairs: &Option<At<Named<String>>>| {
        let pairs = pairs.iter().flat_map(|pairs| &pairs.value.0);
        pairs.map(|(key, value)| (key.value.clone(), value.value.clone().into())).collect()
    };
    let mut config = serde_json::Map::new();
    for (key, pairs) in
        [("env", &table.env), ("upstreams", &table.upstreams), ("shared", &table.shared)]
    {
        config.insert(key.to_owned(), serde_json::Value::Object(all(pairs)));
    }
    for (_, named) in table.upstreams.iter().flat_map(|pairs| &pairs.value.0) {
        names.upstream(named, false, scene);
    }
    for (_, named) in table.shared.iter().flat_map(|pairs| &pairs.value.0) {
        names.find(named, names.shared, "dictionary", scene);
    }
    let instances = limits.and_then(|limits| limits.instances.as_ref());
    let instances = scene.whole(instances, &row::INSTANCES);
    config.insert("instances".to_owned(), instances.into());
    let program = Program::Component(scene.file(table.wasm.as_ref()?, "the component"));
    let config = FilterConfig::Json(config.into());
    Some(Filter { name, place, program, config, cpu, memory, on_error, isolation, proxy })
}

fn filter(
    name: &At<String>,
    table: At<raw::Filter>,
    around: &mut Around<'_>,
    scene: &mut Scene<'_>,
) -> Option<Filter> {
    let At { value: mut raw, place, .. } = table;
    let program = program(name, &mut raw, around, scene);
    let limits = raw.limits.as_ref().map(|limits| &limits.value);
    let cpu = scene.time(limits.and_then(|limits| limits.cpu.as_ref()), &row::FILTER_CPU);
    let memory = limits.and_then(|limits| limits.memory.as_ref());
    let memory = memory.map(|memory| scene.size(Some(memory), &row::FILTER_MEMORY));
    if let (Some(isolation), Some(program)) = (&raw.isolation, &program)
        && !matches!(program, Program::Wasm(_))
        && isolation.value == Isolation::Stream
    {
        scene.error(
            &isolation.place,
            "only Wasm filters can have an instance for each stream",
            None,
        );
    }
    let proxy = proxy(&raw, program.as_ref(), scene);
    Some(Filter {
        proxy,
        name: name.as_str().into(),
        place,
        program: program?,
        config: match raw.config.map(|config| config.value.plain) {
            None => FilterConfig::None,
            Some(TextOr::Text(text)) => FilterConfig::Text(text),
            Some(TextOr::Other(free)) => FilterConfig::Json(free.0),
        },
        cpu,
        memory,
        on_error: raw.on_error.map_or(OnError::Close, |on_error| on_error.value),
        isolation: raw.isolation.map_or(Isolation::Worker, |isolation| isolation.value),
    })
}

fn proxy(raw: &raw::Filter, program: Option<&Program>, scene: &mut Scene<'_>) -> ProxyWasm {
    let places = [
        raw.hold_headers.as_ref().map(|at| &at.key),
        raw.vm_id.as_ref().map(|at| &at.key),
        raw.vm_config.as_ref().map(|at| &at.key),
        raw.root_id.as_ref().map(|at| &at.key),
        raw.properties.as_ref().map(|at| &at.key),
    ];
    if program.is_some_and(|program| !matches!(program, Program::Wasm(_))) {
        for place in places.into_iter().flatten() {
            scene.error(place, "only Wasm filters have this key", None);
        }
    }
    let text =
        |at: &Option<At<String>>| at.as_ref().map_or_else(String::new, |at| at.value.clone());
    ProxyWasm {
        hold_headers: raw.hold_headers.as_ref().is_some_and(|at| at.value),
        vm_id: text(&raw.vm_id),
        vm_config: match raw.vm_config.as_ref().map(|at| &at.value) {
            None => String::new(),
            Some(TextOr::Text(text)) => text.clone(),
            Some(TextOr::Other(free)) => free.0.to_string(),
        },
        root_id: text(&raw.root_id),
        properties: raw.properties.as_ref().map_or_else(Default::default, |at| at.value),
    }
}

fn program(
    name: &At<String>,
    raw: &mut raw::Filter,
    around: &mut Around<'_>,
    scene: &mut Scene<'_>,
) -> Option<Program> {
    let mut kinds: Vec<&Place> = [
        raw.lua.as_ref().map(|at| &at.key),
        raw.wasm.as_ref().map(|at| &at.key),
        raw.openresty.as_ref().map(|at| &at.key),
        raw.kong.as_ref().map(|at| &at.key),
        raw.r#use.as_ref().map(|at| &at.key),
    ]
    .into_iter()
    .flatten()
    .collect();
    kinds.sort_by_key(|place| place.start);
    match kinds[..] {
        [] if raw.broken => {}
        [] => {
            let message = format!("filter {:?} has no program", name.value);
            let hint = "one of `lua`, `wasm`, `openresty`, `kong` and `use`".to_owned();
            scene.error(&name.place, message, Some(hint));
        }
        [_] => {}
        [first, second, ..] => {
            let problem = Problem::error(second, "a filter has one program");
            scene.report.push(problem.also("the first one is here", first));
        }
    }
    let lua = raw.lua.as_ref().map(|path| Program::Lua(scene.file(path, "the script")));
    let wasm = raw.wasm.as_ref().map(|path| Program::Wasm(scene.file(path, "the module")));
    let scripts = raw
        .openresty
        .as_ref()
        .map(|table| Program::OpenResty(Box::new(openresty::openresty(table, scene))));
    let plugin = raw.kong.as_ref().map(|name| {
        if let Some(At { value: raw::Config { plain: TextOr::Text(_), .. }, place, .. }) =
            &raw.config
        {
            scene.error(place, "the config of a Kong plugin is a table", None);
        }
        Program::Kong(scene.checked(name, check::plugin))
    });
    if let Some(ships) = raw.r#use.as_ref().map(|ships| ships.value) {
        let limits = raw.limits.as_ref().map(|limits| &limits.key);
        scene.meaningless(&[("limits", limits)], "for what ships with the gateway");
        let shipped = shipped::shipped(ships, raw, around, scene)?;
        return Some(Program::Shipped(Box::new(shipped)));
    }
    lua.or(wasm).or(scripts).or(plugin)
}

pub(super) fn in_order<'p>(a: &'p Place, b: &'p Place) -> (&'p Place, &'p Place) {
    if a.start <= b.start { (a, b) } else { (b, a) }
}

/// Warns of filters that no chain names, and of phases that do not come where their filter stands.
pub(super) fn unused(
    listeners: &[Listener],
    routes: &[Route],
    filters: &Filters,
    scene: &mut Scene<'_>,
) {
    if scene.report.has_errors() {
        return;
    }
    for (index, filter) in filters.list.iter().enumerate() {
        let by_route = |route: &Route| {
            route.filters.contains(&index)
                || matches!(route.target, Target::Script(at) if at == index)
        };
        let by_route = routes.iter().any(by_route);
        let by_listener = listeners.iter().any(|listener| listener.filters.contains(&index));
        if !by_route && !by_listener {
            scene.warning(&filter.place, format!("no route uses filter {:?}", filter.name));
        } else if let Program::OpenResty(scripts) = &filter.program {
            for (phase, _) in &scripts.phases {
                let (of, noun) = match openresty::OF_LISTENERS.contains(phase) {
                    true => (by_listener, "listener"),
                    false => (by_route, "route"),
                };
                if !of && !openresty::OF_WORKERS.contains(phase) {
                    let name = &filter.name;
                    let message = format!("{phase} never runs: no {noun} uses filter {name:?}");
                    scene.warning(&filter.place, message);
                }
            }
        }
    }
}

pub(super) fn modules(raw: Option<At<Named<raw::Module>>>, scene: &mut Scene<'_>) -> Vec<Module> {
    let mut modules = Vec::new();
    for (name, table) in sorted(raw) {
        scene.name(&name, "module");
        modules.extend(module(&name, &table, scene));
    }
    modules
}

fn module(name: &At<String>, table: &At<raw::Module>, scene: &mut Scene<'_>) -> Option<Module> {
    let limits = table.limits.as_ref().map(|limits| &limits.value);
    let cpu = scene.time(limits.and_then(|limits| limits.cpu.as_ref()), &row::MODULE_CPU);
    let memory = limits.and_then(|limits| limits.memory.as_ref());
    let memory = scene.size(memory, &row::MODULE_MEMORY);
    let mut functions = Vec::new();
    for (name, text) in table.functions.iter().flat_map(|functions| &functions.value.0) {
        let Some((parameters, result)) = scene.accept(&text.place, signature(text)) else {
            continue;
        };
        let place = text.place.clone();
        functions.push(Function { name: name.value.clone(), place, parameters, result });
    }
    let wasm = scene.file(table.wasm.as_ref()?, "the module");
    let name: Arc<str> = name.as_str().into();
    Some(Module { name, place: table.place.clone(), wasm, functions, cpu, memory })
}

const TYPES: &[(&str, ValueType)] = &[
    ("string", ValueType::String),
    ("i32", ValueType::I32),
    ("i64", ValueType::I64),
    ("f32", ValueType::F32),
    ("f64", ValueType::F64),
    ("bool", ValueType::Bool),
];

/// `(string, i32) -> string`; without an arrow there is no result.
fn signature(text: &str) -> Result<(Vec<ValueType>, Option<ValueType>), Refusal> {
    const FORM: &str = "such as \"(string, i32, i32) -> string\"";
    let refuse = || Refusal::new(format!("{text:?} is not a signature"), FORM);
    let (parameters, rest) =
        text.trim().strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(refuse)?;
    let result = match rest.trim() {
        "" => None,
        rest => Some(value_type(rest.strip_prefix("->").ok_or_else(refuse)?)?),
    };
    let parameters = match parameters.trim() {
        "" => Vec::new(),
        list => list.split(',').map(value_type).collect::<Result<_, _>>()?,
    };
    match parameters.len() {
        0..=16 => Ok((parameters, result)),
        _ => Err(Refusal::bare("a function has at most 16 parameters")),
    }
}

fn value_type(text: &str) -> Result<ValueType, Refusal> {
    let text = text.trim();
    match TYPES.iter().find(|(name, _)| *name == text) {
        Some((_, value_type)) => Ok(*value_type),
        None => {
            let types = crate::name::list(TYPES.iter().map(|(name, _)| *name));
            Err(Refusal::new(format!("{text:?} is not a type"), format!("types are {types}")))
        }
    }
}
