use std::sync::Arc;

use pilotlight_abi::limit::METRIC_SERIES;
use pilotlight_filter::host::{Metric, MetricKind, NewMetric};

use super::super::Registry;
use super::super::text::Process;
use super::Own;

fn open(
    own: &Own,
    kind: MetricKind,
    name: &str,
    labels: &[(&str, &str)],
) -> Result<Arc<dyn Metric>, &'static str> {
    let labels: Vec<_> = labels.iter().map(|(l, v)| ((*l).to_owned(), (*v).to_owned())).collect();
    own.open(&NewMetric { kind, name, labels: &labels, bounds: &[] })
}

/// The page, without our own families.
fn page(registry: &Registry, open_metrics: bool) -> Vec<String> {
    let process = Process {
        resident_bytes: 0,
        uptime_seconds: 0.0,
        generation: 1,
        upstreams: Vec::new(),
        apps: Vec::new(),
    };
    let text = registry.text(&process, open_metrics);
    text.lines().filter(|line| !line.contains("pilotlight_")).map(str::to_owned).collect()
}

#[test]
fn the_page_has_them() {
    let registry = Registry::new();
    let own = &registry.own;
    let hits = open(own, MetricKind::Counter, "hits_total", &[("a", "x\"y\\\n")]).unwrap();
    hits.add(1.0);
    hits.add(1.5);
    hits.set(99.0);
    // The same series, however it is asked for.
    open(own, MetricKind::Counter, "hits", &[("a", "x\"y\\\n")]).unwrap().add(1.0);
    let depth = open(own, MetricKind::Gauge, "depth", &[]).unwrap();
    depth.set(7.0);
    depth.add(-2.0);
    let bounds = &[1.0, 10.0];
    let new = NewMetric { kind: MetricKind::Histogram, name: "size", labels: &[], bounds };
    let size = own.open(&new).unwrap();
    [0.5, 1.0, 3.0, 100.0].into_iter().for_each(|value| size.observe(value));
    let want = [
        "# TYPE depth gauge",
        "depth 5",
        "# TYPE hits_total counter",
        "hits_total{a=\"x\\\"y\\\\\\n\"} 3.5",
        "# TYPE size histogram",
        "size_bucket{le=\"1\"} 2",
        "size_bucket{le=\"10\"} 3",
        "size_bucket{le=\"+Inf\"} 4",
        "size_sum 104.5",
        "size_count 4",
    ];
    assert_eq!(page(&registry, false), want);
    let open_metrics = page(&registry, true);
    assert_eq!(open_metrics[2], "# TYPE hits counter");
    assert_eq!(open_metrics.last().unwrap(), "# EOF");
}

#[test]
fn what_can_not_be_is_refused() {
    let own = Own::default();
    for name in ["", "a b", "1a", "pilotlight_x", "é", "a-b", &"x".repeat(129)] {
        let refused = open(&own, MetricKind::Gauge, name, &[]).err();
        assert_eq!(refused, Some("not a metric's name"), "{name}");
    }
    let long = "x".repeat(257);
    for label in [("a:b", ""), ("__a", ""), ("le", ""), ("", ""), ("a", long.as_str())] {
        let refused = open(&own, MetricKind::Gauge, "good", &[label]).err();
        assert_eq!(refused, Some("not a label"), "{label:?}");
    }
    assert!(open(&own, MetricKind::Gauge, "a:b_1", &[("a_1", "anything\n")]).is_ok());
    let other = open(&own, MetricKind::Counter, "a:b_1", &[]).err();
    assert_eq!(other, Some("a metric of another kind has this name"));
}

#[test]
fn there_is_an_end_to_them() {
    let own = Own::default();
    for n in 0..METRIC_SERIES {
        open(&own, MetricKind::Counter, "n", &[("n", &n.to_string())]).unwrap();
    }
    assert_eq!(open(&own, MetricKind::Counter, "n", &[]).err(), Some("too many series"));
    assert_eq!(open(&own, MetricKind::Counter, "m", &[]).err(), Some("too many series"));
    assert!(open(&own, MetricKind::Counter, "n", &[("n", "7")]).is_ok());
}
