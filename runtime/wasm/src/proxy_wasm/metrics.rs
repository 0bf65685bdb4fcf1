//! Metrics of plugins. Their ids are places in a list of the instance.
//!
//! A name may hold labels, in the ways in use: `name;.;key=.=value;.;` (Istio),
//! `name{key="value",...}` (Prometheus) and `name_key=value_key=value` (Coraza).

use pilotlight_abi::limit::WASM_METRICS;
use pilotlight_filter::host::{Level, MetricKind, NewMetric};
use wasmtime::{Caller, Linker};

use super::abi::Status;
use super::memory;
use crate::host::Host;

type Labels = Vec<(String, String)>;

/// Bounds of histograms: values are whole numbers of the plugin's own unit, mostly milliseconds.
const BOUNDS: &[f64] = &[
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5,
    1.8e6, 3.6e6,
];

/// `proxy_define_metric`: kind, name, where its id goes.
pub(crate) fn define(mem: &mut [u8], host: &mut Host, args: [u32; 4]) -> Result<(), Status> {
    let [kind, name, len, out] = args;
    let kind = match kind {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Histogram,
        _ => return Err(Status::BadArgument),
    };
    let name = memory::slice(mem, name, len)?;
    let name = std::str::from_utf8(name).map_err(|_| Status::BadArgument)?;
    if host.proxy.metrics.len() >= WASM_METRICS {
        return Err(Status::InternalFailure);
    }
    let (name, mut labels) = parse(name);
    labels.sort();
    labels.dedup_by(|a, b| a.0 == b.0);
    let new = NewMetric { kind, name: &name, labels: &labels, bounds: BOUNDS };
    let metric = host.services.metric(&new).map_err(|why| {
        let text = format!("proxy_define_metric: {name}: {why}");
        host.log(Level::Warn, text.as_bytes());
        Status::BadArgument
    })?;
    host.proxy.metrics.push((kind, metric));
    memory::write_u32(mem, out, host.proxy.metrics.len() as u32)
}

/// `proxy_get_metric`: id, where its value goes.
pub(crate) fn get(mem: &mut [u8], host: &mut Host, [id, out]: [u32; 2]) -> Result<(), Status> {
    host.asked = true;
    match metric(host, id)? {
        (MetricKind::Histogram, _) => Err(Status::BadArgument),
        (_, metric) => memory::write(mem, out, &(metric.value() as u64).to_le_bytes()),
    }
}

/// Links `proxy_record_metric`: id, value.
pub(crate) fn link_record(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let record = |caller: Caller<'_, Host>, id: u32, value: u64| {
        let Ok((kind, metric)) = metric(caller.data(), id) else { return Status::NotFound as u32 };
        match kind {
            MetricKind::Counter => metric.add(value as f64),
            MetricKind::Gauge => metric.set(value as f64),
            MetricKind::Histogram => metric.observe(value as f64),
        }
        Status::Ok as u32
    };
    linker.func_wrap("env", "proxy_record_metric", record)?;
    Ok(())
}

/// Links `proxy_increment_metric`: id, by how much.
pub(crate) fn link_increment(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let increment = |caller: Caller<'_, Host>, id: u32, by: i64| {
        let Ok((kind, metric)) = metric(caller.data(), id) else { return Status::NotFound as u32 };
        match kind {
            MetricKind::Counter if by < 0 => return Status::BadArgument as u32,
            MetricKind::Histogram => return Status::BadArgument as u32,
            MetricKind::Counter | MetricKind::Gauge => metric.add(by as f64),
        }
        Status::Ok as u32
    };
    linker.func_wrap("env", "proxy_increment_metric", increment)?;
    Ok(())
}

type Defined = (MetricKind, std::sync::Arc<dyn pilotlight_filter::host::Metric>);

fn metric(host: &Host, id: u32) -> Result<&Defined, Status> {
    let place = id.checked_sub(1).ok_or(Status::NotFound)? as usize;
    host.proxy.metrics.get(place).ok_or(Status::NotFound)
}

/// A name as Prometheus takes it, and its labels.
fn parse(text: &str) -> (String, Labels) {
    let (name, labels) = if let Some((name, tags)) = text.split_once(";.;") {
        (name, tags.split(";.;").filter_map(|tag| tag.split_once("=.=")).collect())
    } else if let Some((name, tags)) = text.split_once('{') {
        let tags = tags.strip_suffix('}').unwrap_or(tags).split(',');
        (name, tags.filter_map(|tag| tag.split_once('=')).collect())
    } else {
        tagged(text)
    };
    let label =
        |(key, value): (&str, &str)| (plain(key.trim()), value.trim().trim_matches('"').to_owned());
    (plain(name), labels.into_iter().map(label).collect())
}

/// `name_key=value_key=value`: a key is what stands between a `=` and the `_` before it.
fn tagged(text: &str) -> (&str, Vec<(&str, &str)>) {
    let Some(first) = text.find('=').and_then(|at| text[..at].rfind('_')) else {
        return (text, Vec::new());
    };
    let (name, mut rest) = (&text[..first], &text[first + 1..]);
    let mut labels = Vec::new();
    while let Some((key, after)) = rest.split_once('=') {
        let end = after.find('=').and_then(|next| after[..next].rfind('_'));
        let end = end.unwrap_or(after.len());
        labels.push((key, &after[..end]));
        rest = after.get(end + 1..).unwrap_or_default();
    }
    (name, labels)
}

/// Letters, digits and underscores, with no digit in front.
fn plain(name: &str) -> String {
    let part = |c: char| if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' };
    let mut plain: String = name.chars().map(part).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) {
        plain.insert(0, '_');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn labels_stand_in_names() {
        let shown = |text: &str| {
            let (name, labels) = parse(text);
            labels.iter().fold(name, |all, (key, value)| format!("{all} {key}={value}"))
        };
        for (text, wanted) in [
            ("requests", "requests"),
            ("auth.ok-count", "auth_ok_count"),
            ("9lives", "_9lives"),
            (
                "istio_requests_total;.;code=.=200;.;to=.=a.b;.;",
                "istio_requests_total code=200 to=a.b",
            ),
            ("hits{path=\"/a\", code=\"200\"}", "hits path=/a code=200"),
            (
                "waf.tx_ruleid=7_phase=http_request_headers",
                "waf_tx ruleid=7 phase=http_request_headers",
            ),
            ("=", "_"),
            ("a_=", "a ="),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }
}
