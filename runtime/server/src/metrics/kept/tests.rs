//! Figures before sleep are figures after it, whatever numbers their names have then.

use super::*;
use crate::metrics::{Series, text::Process};

/// A registry that knows these names, and their numbers.
fn registry(names: &[&str]) -> (Registry, Vec<u32>) {
    let registry = Registry::new();
    let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
    let numbers = lock(&registry.names).numbers(&names);
    (registry, numbers)
}

fn page(registry: &Registry) -> String {
    let process = Process::default();
    let text = registry.text(&process, false);
    let mut lines: Vec<&str> = text.lines().filter(|line| line.contains('{')).collect();
    lines.sort_unstable();
    lines.join("\n")
}

const SHED: &str = "pilotlight_admission_shed_total{upstream=\"pool\",reason=\"late\"} 2";

#[test]
fn connections_without_http_are_counted_on() {
    let (before, numbers) = registry(&["door", "pool"]);
    let series =
        Series { listeners: vec![numbers[0]], upstreams: vec![numbers[1]], ..Series::default() };
    for worker in 0..2 {
        let shard = before.shard(worker);
        shard.flow(&series, 0, 0, None);
        shard.flow(&series, 0, 0, Some("connection_refused"));
        shard.moved(&series, 0)[1].fetch_add(7, Ordering::Relaxed);
        shard.shed(&series, At::Upstream, Some(0), Why::Late);
    }
    let mut kept = Writer::default();
    before.keep(&mut kept);
    let (after, _) = registry(&["another", "pool", "door"]);
    assert_eq!(after.take_back(&mut Reader(&kept.0)), Some(()));
    let page_after = page(&after);
    assert_eq!(page_after, page(&before));
    for sample in ["error=\"connection_refused\"} 2", "direction=\"sent\"} 14", SHED] {
        assert!(page_after.contains(sample), "{sample} in\n{page_after}");
    }
}
