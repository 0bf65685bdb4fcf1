//! `[gateway]`, `[log]` and `[wasm]`.

use super::{address, check, row};
use crate::manifest::{AccessLog, Forwarded, Gateway, Idle, Level, Log, Wasm};
use crate::name;
use crate::raw::{self, At};
use crate::typed::Scene;

pub(super) fn gateway(raw: Option<&At<raw::Gateway>>, scene: &mut Scene<'_>) -> Gateway {
    let none = raw::Gateway::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    let workers = raw.workers.as_ref().and_then(|workers| {
        let place = workers.place.clone();
        let number = workers.value.0.map(raw::Whole)?;
        Some(scene.usize(Some(&At { value: number, key: place.clone(), place }), &row::WORKERS))
    });
    let env = raw.env.iter().flat_map(|env| &env.value);
    Gateway {
        workers,
        admin: raw.admin.as_ref().and_then(|admin| address::listen(admin, scene)),
        cache_dir: scene.path(raw.cache_dir.as_ref().map_or("cache", |dir| dir.as_str())),
        drain: scene.time(raw.drain.as_ref(), &row::DRAIN),
        forwarded: forwarded(raw.forwarded.as_ref(), scene),
        env: env.map(|name| scene.checked(name, check::variable)).collect(),
        idle: raw.idle.as_ref().map_or_else(Idle::default, |raw| idle(&raw.value, scene)),
    }
}

fn idle(raw: &raw::Idle, scene: &mut Scene<'_>) -> Idle {
    if let Some(path) = &raw.health_path
        && (!path.starts_with('/') || path.contains(|c: char| !c.is_ascii_graphic() || c == '?'))
    {
        let hint = Some("such as \"/healthz\"".to_owned());
        scene.error(&path.place, format!("{:?} is not the path of a request", path.as_str()), hint);
    }
    Idle {
        trim: raw.trim.as_ref().map(|time| scene.time(Some(time), &row::TRIM)),
        sleep: raw.sleep.as_ref().map(|time| scene.time(Some(time), &row::SLEEP)),
        health_path: raw.health_path.as_ref().map(|path| path.value.clone()),
    }
}

fn forwarded(raw: Option<&At<raw::Forwarded>>, scene: &mut Scene<'_>) -> Forwarded {
    let none = raw::Forwarded::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    let via = match &raw.via {
        None => Some("pilotlight".to_owned()),
        Some(via) => via.value.0.clone(),
    };
    if let (Some(name), Some(raw)) = (&via, &raw.via)
        && check::field_name(name).is_err()
    {
        // RFC 9110 section 7.6.3: a pseudonym is a token.
        scene.error(&raw.place, format!("{name:?} cannot stand in Via"), None);
    }
    let trust = raw.trust.iter().flat_map(|trust| &trust.value);
    Forwarded {
        via,
        x_forwarded: raw.x_forwarded.as_ref().is_none_or(|on| on.value),
        forwarded: raw.forwarded.as_ref().is_some_and(|on| on.value),
        trust: trust.filter_map(|net| scene.accept(&net.place, check::cidr(net))).collect(),
        request_id: match &raw.request_id {
            Some(name) => scene.checked(name, check::answer_field).to_ascii_lowercase(),
            None => "x-request-id".into(),
        },
    }
}

pub(super) fn log(raw: Option<&At<raw::Log>>, scene: &mut Scene<'_>) -> Log {
    let none = raw::Log::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    Log {
        access: raw.access.as_ref().map_or(AccessLog::Stdout, |access| access_log(access, scene)),
        level: raw.level.as_ref().map_or(Level::Info, |level| level.value),
    }
}

fn access_log(text: &At<String>, scene: &mut Scene<'_>) -> AccessLog {
    const WORDS: [&str; 3] = ["stdout", "stderr", "off"];
    match text.as_str() {
        "stdout" => AccessLog::Stdout,
        "stderr" => AccessLog::Stderr,
        "off" => AccessLog::Off,
        syslog if syslog.starts_with("syslog:") => {
            let message = "an access log by syslog is not supported by this version yet";
            scene.error(&text.place, message, None);
            AccessLog::Off
        }
        path => {
            // A word that is almost one of the three is hardly a file.
            let close = name::closest(path, WORDS).filter(|_| !path.contains(['/', '.']));
            if let Some(close) = close.or(path.is_empty().then_some("off")) {
                let hint = format!("did you mean \"{close}\"? A file is written \"./{path}\"");
                scene.error(&text.place, format!("{path:?} is not an access log"), Some(hint));
            }
            AccessLog::File(scene.path(path))
        }
    }
}

pub(super) fn wasm(raw: Option<&At<raw::Wasm>>, scene: &mut Scene<'_>) -> Wasm {
    let raw = raw.map(|raw| &raw.value);
    let compile = raw.and_then(|raw| raw.compile.as_ref()).map(|compile| &compile.value);
    let compile_memory = compile.and_then(|compile| compile.memory.as_ref());
    Wasm {
        memory: scene.size(raw.and_then(|raw| raw.memory.as_ref()), &row::WASM_MEMORY),
        compile_memory: scene.size(compile_memory, &row::COMPILE_MEMORY),
        compile_cpu: scene
            .time(compile.and_then(|compile| compile.cpu.as_ref()), &row::COMPILE_CPU),
    }
}
