//! From the manifest's filters and modules to what engines load.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_config::manifest::{self, FilterConfig, Manifest, Program, ValueType};
use pilotlight_filter::engine::{
    Bounds, ModuleSpec, OpenResty, RedisSpec, RegexSpec, ResolverSpec, RouteVars, ScriptFile,
    ScriptSpec, SetVar, Signature, Source, TimerSpec, Type,
};
use pilotlight_filter::{Plan, ProxySpec, Spec};
use serde_json::{Value, json};

mod kong;

/// What the gateway runs itself.
pub(super) const SHIPPED: &str = "shipped";

/// Which engine runs it.
pub(super) const fn kind(program: &Program) -> &'static str {
    match program {
        Program::Lua(_) | Program::OpenResty(_) | Program::Kong(_) => "lua",
        Program::Wasm(_) | Program::Component(_) => "wasm",
        Program::Shipped(_) => SHIPPED,
    }
}

/// What an engine loads of a manifest, and which of the manifest's filters these are. `number` is that
/// of the generation, `now` the wall clock.
#[cold]
pub fn plan_of(manifest: &Manifest, engine: &str, number: u64, now: f64) -> (Plan, Vec<usize>) {
    let mut plan = common(manifest, number, now);
    let mut mine = Vec::new();
    for (index, filter) in manifest.filters.iter().enumerate() {
        if kind(&filter.program) == engine {
            mine.push(index);
            plan.filters.push(spec(manifest, index, filter));
        }
    }
    if engine == "wasm" {
        plan.modules = manifest.modules.iter().map(module).collect();
    }
    (plan, mine)
}

/// What all programs share.
#[allow(clippy::disallowed_methods)]
fn common(manifest: &Manifest, number: u64, now: f64) -> Plan {
    let variable = |name: &String| Some((name.clone(), std::env::var(name).ok()?));
    Plan {
        script: script(&manifest.lua),
        bounds: Bounds {
            memory: manifest.wasm.memory,
            compile_memory: manifest.wasm.compile_memory,
            compile_cpu: manifest.wasm.compile_cpu,
        },
        cache_dir: manifest.gateway.cache_dir.clone(),
        env: manifest.gateway.env.iter().filter_map(variable).collect(),
        module_names: manifest.modules.iter().map(|m| m.name.clone()).collect(),
        upstreams: manifest.upstreams.iter().map(|upstream| upstream.name.clone()).collect(),
        shared: manifest.shared.keys().cloned().collect(),
        vars: manifest.routes.iter().filter_map(vars).collect(),
        consumers: consumers(&manifest.consumers),
        redis: manifest.redis.iter().map(redis).collect(),
        kong: kong::facts(manifest, number),
        folder: manifest.file.parent().map(PathBuf::from).unwrap_or_default(),
        now,
        ..Plan::default()
    }
}

fn script(lua: &manifest::Lua) -> ScriptSpec {
    ScriptSpec {
        path: lua.path.clone(),
        memory: lua.memory,
        ffi: lua.ffi,
        io: lua.io,
        resolver: lua.resolver.as_ref().map(|resolver| ResolverSpec {
            servers: resolver.servers.clone(),
            timeout: resolver.timeout,
            ipv6: resolver.ipv6,
        }),
        regex: RegexSpec { match_limit: lua.regex_steps, cache: lua.regex_cache },
        timers: TimerSpec { pending: lua.timers_pending, running: lua.timers_running },
        threads: lua.threads.iter().map(|(name, count)| (name.as_str().into(), *count)).collect(),
        capture_log: lua.capture_log,
        any_shared: false,
    }
}

fn vars(route: &manifest::Route) -> Option<RouteVars> {
    let vars: Vec<_> = route.vars.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    (!vars.is_empty()).then(|| RouteVars { route: route.name.clone(), vars })
}

fn consumers(all: &[manifest::Consumer]) -> String {
    let login =
        |(name, secret): &(String, String), word: &str| json!({ "username": name, word: secret });
    let jwt = |jwt: &manifest::Jwt| {
        let word = if jwt.algorithm.starts_with("HS") { "secret" } else { "rsa_public_key" };
        json!({ "key": jwt.key, "algorithm": jwt.algorithm, word: jwt.secret })
    };
    let one = |consumer: &manifest::Consumer| {
        json!({
            "username": consumer.username,
            "custom_id": consumer.custom_id,
            "tags": consumer.tags,
            "keys": consumer.keys,
            "basic": consumer.basic.iter().map(|pair| login(pair, "password")).collect::<Vec<_>>(),
            "jwt": consumer.jwt.iter().map(jwt).collect::<Vec<_>>(),
            "hmac": consumer.hmac.iter().map(|pair| login(pair, "secret")).collect::<Vec<_>>(),
            "groups": consumer.groups,
        })
    };
    match all {
        [] => String::new(),
        _ => without_nulls(Value::Array(all.iter().map(one).collect())).to_string(),
    }
}

/// A script would take a null for something.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(pairs) => {
            let pairs = pairs.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(pairs.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        plain => plain,
    }
}

fn redis(redis: &manifest::Redis) -> RedisSpec {
    RedisSpec {
        name: redis.name.clone(),
        host: match &redis.unix {
            Some(path) => format!("unix:{}", path.display()),
            None => redis.host.clone(),
        },
        port: redis.port,
        tls: redis.tls,
        ca: redis.ca.clone(),
        user: redis.user.clone(),
        password: redis.password.clone(),
        database: redis.database,
        connect: redis.connect,
        reply: redis.reply,
        idle: redis.idle,
        pool: redis.pool,
    }
}

/// The filter at `index`.
fn spec(manifest: &Manifest, index: usize, filter: &manifest::Filter) -> Spec {
    let is_target = |route: &manifest::Route| matches!(route.target, manifest::Target::Script(script) if script == index);
    Spec {
        name: filter.name.clone(),
        program: match &filter.program {
            Program::Lua(file) | Program::Wasm(file) | Program::Component(file) => {
                Source::Native(file.clone())
            }
            Program::OpenResty(scripts) => Source::OpenResty(openresty(scripts)),
            Program::Kong(plugin) => Source::Kong { plugin: plugin.clone() },
            // No engine is asked to load it.
            Program::Shipped(_) => Source::Text { name: SHIPPED, text: "" },
        },
        config: match &filter.config {
            FilterConfig::None => Vec::new(),
            FilterConfig::Text(text) => text.clone().into_bytes(),
            FilterConfig::Json(json) => json.to_string().into_bytes(),
        },
        config_is_json: matches!(filter.config, FilterConfig::Json(_)),
        cpu: filter.cpu,
        memory: filter.memory,
        fresh: filter.isolation == manifest::Isolation::Stream,
        proxy: ProxySpec {
            hold_headers: filter.proxy.hold_headers,
            vm_id: filter.proxy.vm_id.clone(),
            vm_config: filter.proxy.vm_config.clone(),
            root_id: filter.proxy.root_id.clone(),
            text: filter.proxy.properties == manifest::Encoding::Text,
        },
        target: manifest.routes.iter().any(is_target),
        flow: manifest.listeners.iter().any(|l| l.tcp.is_some() && l.filters.contains(&index)),
    }
}

fn openresty(scripts: &manifest::OpenResty) -> OpenResty {
    let file = |script: &manifest::Script| ScriptFile {
        path: script.path.clone(),
        name: Arc::from(script.name.as_str()),
    };
    let set = |set: &manifest::SetVar| SetVar {
        var: set.var.clone(),
        file: file(&set.script),
        args: set.args.clone(),
    };
    OpenResty {
        phases: scripts.phases.iter().map(|(phase, script)| (*phase, file(script))).collect(),
        set: scripts.set.iter().map(set).collect(),
        settings: without_nulls(settings(scripts)).to_string(),
    }
}

/// Times in seconds, sizes in bytes.
fn settings(scripts: &manifest::OpenResty) -> Value {
    let seconds = |time: Duration| time.as_secs_f64();
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let (ssl, socket) = (&scripts.ssl, &scripts.socket);
    let protocols = [("TLSv1.2", ssl.tls12), ("TLSv1.3", ssl.tls13)];
    let protocols: Vec<_> = protocols.iter().filter(|(_, on)| *on).map(|(name, _)| name).collect();
    json!({
        "default_type": scripts.default_type,
        "check_client_abort": scripts.check_client_abort,
        "ssl": {
            "ca": path(&ssl.ca),
            "crl": path(&ssl.crl),
            "certificate": path(&ssl.certificate),
            "key": path(&ssl.key),
            "verify_depth": ssl.verify_depth,
            "protocols": protocols,
            "ciphers": ssl.ciphers,
        },
        "socket": {
            "connect_timeout": seconds(socket.connect_timeout),
            "send_timeout": seconds(socket.send_timeout),
            "read_timeout": seconds(socket.read_timeout),
            "keepalive_timeout": seconds(socket.keepalive_timeout),
            "pool_size": socket.pool_size,
            "buffer_size": socket.buffer_size,
            "log_errors": socket.log_errors,
        },
        "body_buffer": scripts.body_buffer,
        "body_in_file": scripts.body_in_file,
        "http10_buffering": scripts.http10_buffering,
        "header_underscores": scripts.header_underscores,
    })
}

/// A module of scripts.
fn module(module: &manifest::Module) -> ModuleSpec {
    let value = |t: &ValueType| match t {
        ValueType::String => Type::String,
        ValueType::I32 => Type::I32,
        ValueType::I64 => Type::I64,
        ValueType::F32 => Type::F32,
        ValueType::F64 => Type::F64,
        ValueType::Bool => Type::Bool,
    };
    let function = |function: &manifest::Function| Signature {
        name: function.name.clone(),
        parameters: function.parameters.iter().map(value).collect(),
        result: function.result.as_ref().map(value),
    };
    ModuleSpec {
        name: module.name.clone(),
        file: module.wasm.clone(),
        cpu: module.cpu,
        memory: module.memory,
        functions: module.functions.iter().map(function).collect(),
    }
}

#[cfg(test)]
mod tests;
