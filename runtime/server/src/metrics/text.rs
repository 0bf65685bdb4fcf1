//! The Prometheus text format (0.0.4) and OpenMetrics.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pilotlight_abi::Phase;
use pilotlight_core::breaker::{Breaker, Limit};
use pilotlight_filter::host::MetricKind;

use super::histogram::Histogram;
use super::own::{Buckets, Family, Series};
use super::{Registry, endpoints, limits, lock};
use crate::admission::{At, Figures};
use crate::apps::App;
use crate::ledger::Ledger;
use crate::shipped::Limiter;
use crate::upstream::Stand;

/// Facts of the process that only the scrape looks up.
#[derive(Default)]
pub(crate) struct Process {
    pub(crate) resident_bytes: u64,
    pub(crate) uptime_seconds: f64,
    pub(crate) generation: u64,
    /// The upstreams that serve, by name.
    pub(crate) upstreams: Vec<(Arc<str>, Arc<Breaker>)>,
    /// The gates before routes and upstreams, and how short memory is, where there are any.
    pub(crate) gates: Vec<(At, Arc<str>, Figures)>,
    pub(crate) pressure: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) workers: usize,
    /// The applications behind them.
    pub(crate) apps: Vec<Arc<App>>,
    pub(crate) limiters: Vec<Arc<Limiter>>,
    pub(crate) ledgers: Vec<Arc<Ledger>>,
    /// Endpoints that come and go, by their upstreams.
    pub(crate) endpoints: Vec<(Arc<str>, Vec<Stand>)>,
}

impl Registry {
    /// All metrics as text.
    #[cold]
    pub(crate) fn text(&self, process: &Process, open_metrics: bool) -> String {
        let mut page = Page { text: String::with_capacity(8192), open_metrics };
        self.requests(&mut page);
        self.gauges(&mut page);
        load(&mut page, process);
        if !process.endpoints.is_empty() {
            endpoints::show(&mut page, &process.endpoints);
        }
        if !process.apps.is_empty() {
            self.apps.show(&mut page, &process.apps);
        }
        limits::show(&mut page, &process.limiters, &process.ledgers);
        let changes = [
            ("pilotlight_reloads", "Reloads by result.", &self.reloads_ok, &self.reloads_failed),
            (
                "pilotlight_upgrades",
                "Upgrades by result.",
                &self.upgrades_ok,
                &self.upgrades_failed,
            ),
        ];
        for (name, help, ok, failed) in changes {
            page.family(name, "counter", help);
            for (result, count) in [("ok", ok), ("failed", failed)] {
                page.counter(name, &[("result", result)], count.load(Ordering::Relaxed));
            }
        }
        page.family("pilotlight_trims", "counter", "Times that idle memory was given back.");
        page.counter("pilotlight_trims", &[], self.trims.load(Ordering::Relaxed));
        page.family("pilotlight_sleeps", "counter", "Times that the process went to sleep.");
        page.counter("pilotlight_sleeps", &[], self.sleeps.load(Ordering::Relaxed));
        let wakes = lock(&self.wakes);
        page.family("pilotlight_wakes", "counter", "Times that it woke, by what woke it.");
        for (reason, count) in &wakes.reasons {
            page.counter("pilotlight_wakes", &[("reason", reason)], *count);
        }
        let name = "pilotlight_wake_seconds";
        page.family(name, "histogram", "From what woke it to its serving.");
        wakes.times.iter().for_each(|(_, histogram)| page.histogram(name, &[], histogram));
        drop(wakes);
        page.family("pilotlight_log_dropped", "counter", "Log lines lost to a slow sink.");
        page.counter("pilotlight_log_dropped", &[], self.log_dropped.load(Ordering::Relaxed));
        page.family("pilotlight_generation", "gauge", "Number of the configuration that serves.");
        page.sample("pilotlight_generation", &[], process.generation as f64);
        page.family("pilotlight_uptime_seconds", "gauge", "Since the process started.");
        page.sample("pilotlight_uptime_seconds", &[], process.uptime_seconds);
        let name = "pilotlight_process_resident_memory_bytes";
        page.family(name, "gauge", "Resident memory of the process.");
        page.sample(name, &[], process.resident_bytes as f64);
        let name = "pilotlight_process_cpu_seconds";
        page.family(name, "counter", "CPU time of the process, of all its workers.");
        page.line(name, "_total", &[], None, &process.cpu_seconds.to_string());
        page.family("pilotlight_workers", "gauge", "Workers, each of which can use a CPU.");
        page.sample("pilotlight_workers", &[], process.workers as f64);
        self.own.each(|name, family| page.own(name, family));
        if open_metrics {
            page.text.push_str("# EOF\n");
        }
        page.text
    }

    #[cold]
    fn requests(&self, page: &mut Page) {
        let (mut requests, mut durations) = (BTreeMap::new(), BTreeMap::new());
        let (mut upstreams, mut filters) = (BTreeMap::new(), BTreeMap::new());
        let (mut faults, mut flows) = (BTreeMap::new(), BTreeMap::new());
        let (mut sheds, mut open) = (BTreeMap::new(), 0);
        for shard in lock(&self.shards).iter() {
            open += shard.open();
            let data = lock(&shard.data).clone();
            for ((listener, route, protocol, status), count) in data.requests {
                let key = (self.name(listener), self.name(route), protocol, status);
                *requests.entry(key).or_insert(0) += count;
            }
            for (route, histogram) in data.durations.iter() {
                merge(&mut durations, self.name(route as u32), histogram);
            }
            for (upstream, histogram) in data.upstreams.iter() {
                merge(&mut upstreams, self.name(upstream as u32), histogram);
            }
            for (place, histogram) in data.filters.iter() {
                let filter = self.name(place as u32);
                let mut phases = Phase::ALL.iter().chain(&Phase::HANDSHAKES);
                let phase = phases.nth(histogram.part.into()).map_or("", |phase| phase.name());
                merge(&mut filters, (filter, phase), histogram);
            }
            for ((filter, kind), count) in data.faults {
                *faults.entry((self.name(filter), kind)).or_insert(0) += count;
            }
            for ((listener, upstream, error), count) in data.flows {
                let key = (self.name(listener), self.name(upstream), error);
                *flows.entry(key).or_insert(0) += count;
            }
            for ((at, name, why), count) in data.sheds {
                *sheds.entry((at, self.name(name), why)).or_insert(0) += count;
            }
        }
        page.family("pilotlight_requests_in_flight", "gauge", "Exchanges under way.");
        page.sample("pilotlight_requests_in_flight", &[], open as f64);
        let name = "pilotlight_admission_shed";
        page.family(name, "counter", "Exchanges sent away by `admission`, by reason.");
        for ((at, of, why), count) in &sheds {
            page.counter(name, &[(at.name(), of), ("reason", why)], *count);
        }
        page.family("pilotlight_requests", "counter", "Exchanges that ended.");
        for ((listener, route, protocol, status), count) in &requests {
            let status = status.to_string();
            let labels = [
                ("listener", &**listener),
                ("route", route),
                ("protocol", protocol.name()),
                ("status", &status),
            ];
            page.counter("pilotlight_requests", &labels, *count);
        }
        let name = "pilotlight_request_duration_seconds";
        page.family(name, "histogram", "From a request's head to its response's last byte.");
        for (route, histogram) in &durations {
            page.histogram(name, &[("route", route)], histogram);
        }
        let name = "pilotlight_upstream_duration_seconds";
        page.family(name, "histogram", "From a request's leaving to its response's head.");
        for (upstream, histogram) in &upstreams {
            page.histogram(name, &[("upstream", upstream)], histogram);
        }
        let name = "pilotlight_filter_duration_seconds";
        page.family(name, "histogram", "Time on the worker of one call of a phase.");
        for ((filter, phase), histogram) in &filters {
            page.histogram(name, &[("filter", filter), ("phase", phase)], histogram);
        }
        page.family("pilotlight_filter_errors", "counter", "Filters that failed, by kind.");
        for ((filter, kind), count) in &faults {
            page.counter("pilotlight_filter_errors", &[("filter", filter), ("kind", kind)], *count);
        }
        let name = "pilotlight_tcp_connections";
        page.family(name, "counter", "Connections without HTTP that have ended, by error.");
        for ((listener, upstream, error), count) in &flows {
            let labels = [("listener", &**listener), ("upstream", upstream), ("error", &**error)];
            page.counter(name, &labels, *count);
        }
    }

    fn gauges(&self, page: &mut Page) {
        let mut connections = BTreeMap::new();
        let (mut engines, mut bytes) = (BTreeMap::new(), BTreeMap::new());
        for (worker, shard) in lock(&self.shards).iter().enumerate() {
            for ((listener, protocol), count) in lock(&shard.connections).iter() {
                let key = (self.name(*listener), *protocol);
                *connections.entry(key).or_insert(0) += count.load(Ordering::Relaxed);
            }
            for (listener, moved) in lock(&shard.moved).iter() {
                for (way, moved) in ["received", "sent"].iter().zip(&**moved) {
                    let sum = bytes.entry((self.name(*listener), *way)).or_insert(0);
                    *sum += moved.load(Ordering::Relaxed);
                }
            }
            for (name, label, value) in lock(&shard.gauges).iter() {
                let of = if label.is_empty() { worker.to_string() } else { label.clone() };
                *engines.entry((*name, of)).or_insert(0) += value;
            }
        }
        page.family("pilotlight_connections", "gauge", "Open connections.");
        for ((listener, protocol), count) in &connections {
            let labels = [("listener", &**listener), ("protocol", protocol.name())];
            page.sample("pilotlight_connections", &labels, *count as f64);
        }
        let name = "pilotlight_tcp_bytes";
        page.family(
            name,
            "counter",
            "Bytes of connections without HTTP, from clients and to them.",
        );
        for ((listener, way), count) in &bytes {
            page.counter(name, &[("listener", &**listener), ("direction", way)], *count);
        }
        for (name, family, kind, label, help) in ENGINES {
            page.family(family, kind, help);
            let told = engines.iter().filter(|((told, _), _)| *told == name);
            for ((_, of), value) in told {
                let suffix = if kind == "counter" { "_total" } else { "" };
                page.line(family, suffix, &[(label, of)], None, &value.to_string());
            }
        }
    }
}

/// What engines tell: their name for it, its family, kind and label, what it is.
const ENGINES: [(&str, &str, &str, &str, &str); 7] = [
    (
        "lua_heap",
        "pilotlight_lua_heap_bytes",
        "gauge",
        "worker",
        "Memory of a worker's script VMs.",
    ),
    (
        "lua_collections",
        "pilotlight_lua_collections",
        "counter",
        "worker",
        "Collections of VMs' garbage.",
    ),
    ("lua_traces", "pilotlight_lua_traces", "counter", "worker", "Stretches of scripts compiled."),
    (
        "lua_trace_aborts",
        "pilotlight_lua_trace_aborts",
        "counter",
        "worker",
        "Stretches of scripts that did not compile.",
    ),
    (
        "lua_dropped",
        "pilotlight_lua_programs_dropped",
        "counter",
        "worker",
        "Booted scripts that went for others.",
    ),
    (
        "wasm_memory",
        "pilotlight_wasm_memory_bytes",
        "gauge",
        "filter",
        "Linear memory of a filter's instances.",
    ),
    (
        "wasm_instances",
        "pilotlight_wasm_instances",
        "gauge",
        "filter",
        "Instances of a filter, application or module.",
    ),
];

/// How busy upstreams and gates are: what those ask for who decide how many nodes there are.
#[cold]
fn load(page: &mut Page, process: &Process) {
    let Process { upstreams, gates, apps, .. } = process;
    let rows = upstreams.iter().map(|(name, breaker)| {
        let is_mine = |(at, of, _): &&(At, Arc<str>, Figures)| *at == At::Upstream && of == name;
        let gate = gates.iter().find(is_mine).map(|(.., figures)| figures);
        let app = apps.iter().find(|app| app.name == *name).map(|app| app.facts().waiting);
        let waiting = gate.map_or(0, |gate| gate.waiting) + app.unwrap_or(0);
        let flying = breaker.used(Limit::Requests);
        let limit = gate.map_or(breaker.max(Limit::Requests), |gate| gate.limit as usize);
        let depth = breaker.used(Limit::Pending) + waiting;
        let used = (flying + waiting) as f64 / limit.max(1) as f64;
        (At::Upstream, name, [depth as f64, flying as f64, used])
    });
    let families = [
        ("pilotlight_queue_depth", "Exchanges that wait for an upstream."),
        ("pilotlight_upstream_requests_in_flight", "Exchanges that an upstream has."),
        ("pilotlight_utilization", "Exchanges that an upstream has or that wait, by its limit."),
    ];
    page.gauges(families, &rows.collect::<Vec<_>>());
    let rows = gates.iter().map(|(at, name, figures)| {
        let Figures { limit, in_flight, waiting } = *figures;
        (*at, name, [f64::from(limit), f64::from(in_flight), waiting as f64])
    });
    let families = [
        ("pilotlight_admission_limit", "Exchanges that `admission` lets in at a time."),
        ("pilotlight_admission_in_flight", "Exchanges that it has let in."),
        ("pilotlight_admission_queue_depth", "Exchanges that wait to be let in."),
    ];
    page.gauges(families, &rows.collect::<Vec<_>>());
    if !gates.is_empty() {
        let name = "pilotlight_memory_pressure";
        page.family(name, "gauge", "How short memory is, from 0 to 1.");
        page.sample(name, &[], process.pressure);
    }
    let family = "pilotlight_upstream_overflows";
    page.family(family, "counter", "Exchanges refused at a limit of an upstream.");
    for (name, breaker) in upstreams {
        for limit in [Limit::Requests, Limit::Pending] {
            let labels = [("upstream", &**name), ("limit", limit.key())];
            page.counter(family, &labels, breaker.refused(limit));
        }
    }
}

fn merge<K: Ord>(into: &mut BTreeMap<K, Histogram>, key: K, histogram: &Histogram) {
    let sum = into.entry(key).or_insert_with(|| Histogram::new(histogram.scale));
    sum.merge(histogram.counts(), histogram.sum);
}

pub(super) struct Page {
    text: String,
    open_metrics: bool,
}

impl Page {
    /// `name` without the `_total` of counters: OpenMetrics names families so.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let suffix = self.suffix(kind);
        let _ = writeln!(self.text, "# HELP {name}{suffix} {help}");
        self.kind(name, kind);
    }

    fn kind(&mut self, name: &str, kind: &str) {
        let suffix = self.suffix(kind);
        let _ = writeln!(self.text, "# TYPE {name}{suffix} {kind}");
    }

    fn suffix(&self, kind: &str) -> &'static str {
        if kind == "counter" && !self.open_metrics { "_total" } else { "" }
    }

    /// Families of which each row has a value.
    fn gauges(&mut self, families: [(&str, &str); 3], rows: &[(At, &Arc<str>, [f64; 3])]) {
        for (place, (family, help)) in families.into_iter().enumerate() {
            self.family(family, "gauge", help);
            for (at, name, values) in rows {
                self.sample(family, &[(at.name(), name)], values[place]);
            }
        }
    }

    /// A family of programs' own.
    fn own(&mut self, name: &str, family: &Family) {
        let (kind, suffix) = match family.kind {
            MetricKind::Counter => ("counter", "_total"),
            MetricKind::Gauge => ("gauge", ""),
            MetricKind::Histogram => ("histogram", ""),
        };
        self.kind(name, kind);
        for (labels, series) in &family.series {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect();
            match &**series {
                Series::Buckets(buckets) => self.buckets(name, &labels, &lock(buckets)),
                number => self.line(name, suffix, &labels, None, &number.number().to_string()),
            }
        }
    }

    fn buckets(&mut self, name: &str, labels: &[(&str, &str)], buckets: &Buckets) {
        let mut total = 0;
        let bounds = buckets.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&buckets.counts) {
            total += count;
            self.line(name, "_bucket", labels, Some(&bound), &total.to_string());
        }
        self.line(name, "_sum", labels, None, &buckets.sum.to_string());
        self.line(name, "_count", labels, None, &total.to_string());
    }

    pub(super) fn counter(&mut self, name: &str, labels: &[(&str, &str)], count: u64) {
        self.line(name, "_total", labels, None, &count.to_string());
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.line(name, "", labels, None, &value.to_string());
    }

    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut total = 0;
        let (bounds, counts) = (histogram.scale.bounds(), histogram.counts());
        for (bound, count) in bounds.iter().zip(counts) {
            total += count;
            self.line(name, "_bucket", labels, Some(&bound.to_string()), &total.to_string());
        }
        total += counts[bounds.len()];
        self.line(name, "_bucket", labels, Some("+Inf"), &total.to_string());
        self.line(name, "_sum", labels, None, &histogram.sum.to_string());
        self.line(name, "_count", labels, None, &total.to_string());
    }

    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        le: Option<&str>,
        value: &str,
    ) {
        let _ = write!(self.text, "{name}{suffix}");
        let all = labels.iter().copied().chain(le.map(|bound| ("le", bound)));
        let mut separator = '{';
        for (key, label) in all {
            let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{separator}{key}=\"{label}\"");
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}
