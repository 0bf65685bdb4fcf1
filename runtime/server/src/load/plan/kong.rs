//! What Kong's plugins see of a manifest: its routes and upstreams as rows of Kong's, in JSON.

use std::ffi::CStr;
use std::time::Duration;

use pilotlight_config::manifest::{Manifest, Program, Route, Target, Upstream};
use serde_json::{Value, json};

use super::without_nulls;

/// The rows; empty when the manifest has no plugin of Kong's. `number` is that of the generation.
#[cold]
pub(super) fn facts(manifest: &Manifest, number: u64) -> String {
    let is_kong = |program: &Program| matches!(program, Program::Kong(_));
    if !manifest.filters.iter().any(|filter| is_kong(&filter.program)) {
        return String::new();
    }
    let routes = manifest.routes.iter().map(|r| (r.name.to_string(), route(manifest, r)));
    let services = manifest.upstreams.iter().map(|u| (u.name.to_string(), service(manifest, u)));
    let trust = manifest.gateway.forwarded.trust.iter();
    let trust: Vec<_> = trust.map(|net| format!("{}/{}", net.address, net.prefix)).collect();
    without_nulls(json!({
        "generation": number,
        "hostname": hostname(),
        "trust": trust,
        "routes": Value::Object(routes.collect()),
        "services": Value::Object(services.collect()),
    }))
    .to_string()
}

fn route(manifest: &Manifest, route: &Route) -> Value {
    let matcher = &route.matcher;
    let regex = matcher.regex.as_ref().map(|regex| format!("~{}", regex.text()));
    let path = regex.or(matcher.path.clone());
    let headers = matcher.headers.iter().map(|(name, value)| (name.clone(), json!([value])));
    let headers: serde_json::Map<_, _> = headers.collect();
    let service = match route.target {
        Target::Upstream(index) | Target::Split(index) => {
            manifest.upstreams.get(index).map(|u| u.name.to_string())
        }
        _ => None,
    };
    let reached = |tls: bool| {
        manifest.listeners.iter().any(|listener| {
            let listens = &matcher.listeners;
            listener.tls.is_some() == tls
                && (listens.is_empty() || listens.iter().any(|name| *name == *listener.name))
        })
    };
    let protocols: Vec<_> = [("http", false), ("https", true)]
        .iter()
        .filter(|(_, tls)| reached(*tls))
        .map(|p| p.0)
        .collect();
    json!({
        "hosts": matcher.host.as_ref().map(|host| [host]),
        "paths": path.map(|path| [path]),
        "methods": (!matcher.methods.is_empty()).then_some(&matcher.methods),
        "headers": (!headers.is_empty()).then_some(headers),
        "protocols": protocols,
        "service": service,
        "strip_path": false,
        "preserve_host": true,
        "request_buffering": true,
        "response_buffering": true,
    })
}

fn service(manifest: &Manifest, upstream: &Upstream) -> Value {
    let Some(first) = upstream.endpoints.first() else { return json!({}) };
    let milliseconds = |time: Duration| time.as_millis() as u64;
    let unix = first.unix.as_ref().map(|path| format!("unix:{}", path.display()));
    let leads = |route: &&Route| {
        let Target::Upstream(index) = route.target else { return false };
        manifest.upstreams.get(index).is_some_and(|known| known.name == upstream.name)
    };
    let retry = manifest.routes.iter().find(leads).and_then(|route| route.retry.as_ref());
    json!({
        "protocol": if first.tls { "https" } else { "http" },
        "host": unix.unwrap_or_else(|| first.host.clone()),
        "port": first.port,
        "connect_timeout": milliseconds(upstream.timeouts.connect),
        "write_timeout": milliseconds(upstream.timeouts.first_byte),
        "read_timeout": milliseconds(upstream.timeouts.first_byte),
        "retries": retry.map_or(0, |retry| retry.attempts),
        "tls_verify": first.tls.then_some(upstream.tls.verify),
    })
}

/// This machine's name; empty when it has none that can be told.
fn hostname() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is as long as we say; what is written ends with a NUL or is cut off.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0;
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
    if failed { String::new() } else { name.to_string_lossy().into_owned() }
}

#[cfg(test)]
mod tests;
