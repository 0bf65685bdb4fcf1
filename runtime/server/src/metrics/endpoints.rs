//! Endpoints that come and go. What is counted of them is theirs, so it goes with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::text::Page;
use crate::upstream::{CHANGES, Stand};

#[cold]
pub(super) fn show(page: &mut Page, upstreams: &[(Arc<str>, Vec<Stand>)]) {
    let all = || {
        upstreams.iter().flat_map(|(upstream, stands)| {
            // Two names may stand for one address, and no line may be there twice.
            let is_first = |(at, stand): &(usize, &Stand)| {
                let mut before = stands[..*at].iter();
                !before.any(|other| other.member.address == stand.member.address)
            };
            let firsts = stands.iter().enumerate().filter(is_first);
            firsts.map(|(_, stand)| (&**upstream, stand))
        })
    };
    let name = "pilotlight_endpoint_up";
    page.family(name, "gauge", "Whether an endpoint takes requests.");
    for (upstream, stand) in all() {
        let labels = [("upstream", upstream), ("endpoint", &stand.member.address)];
        page.sample(name, &labels, f64::from(stand.state() == "up"));
    }
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let name = "pilotlight_endpoint_probes";
    page.family(name, "counter", "Probes of an endpoint by result.");
    for (upstream, stand) in all() {
        let counts = &stand.member.counts;
        for (result, of) in [("ok", &counts.probes_ok), ("failed", &counts.probes_failed)] {
            let endpoint = &*stand.member.address;
            let labels = [("upstream", upstream), ("endpoint", endpoint), ("result", result)];
            page.counter(name, &labels, count(of));
        }
    }
    let name = "pilotlight_endpoint_changes";
    page.family(name, "counter", "Changes of an endpoint's state.");
    for (upstream, stand) in all() {
        for (to, of) in CHANGES.iter().zip(&stand.member.counts.changes) {
            let labels = [("upstream", upstream), ("endpoint", &*stand.member.address), ("to", to)];
            page.counter(name, &labels, count(of));
        }
    }
}
