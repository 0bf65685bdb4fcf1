//! Rate limits, and the servers by which nodes share them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::text::Page;
use crate::ledger::Ledger;
use crate::shipped::Limiter;

/// What there is of both.
#[cold]
pub(super) fn show(page: &mut Page, limiters: &[Arc<Limiter>], ledgers: &[Arc<Ledger>]) {
    if !limiters.is_empty() {
        let name = "pilotlight_rate_limit";
        page.family(name, "counter", "Exchanges that a rate limit has judged, by result.");
        for limiter in limiters {
            let counts = &limiter.counts;
            for (result, count) in [("passed", &counts.passed), ("refused", &counts.refused)] {
                let labels = [("filter", &*limiter.name), ("result", result)];
                page.counter(name, &labels, count.load(Ordering::Relaxed));
            }
        }
        let name = "pilotlight_rate_limit_alone";
        page.family(name, "counter", "Of these, those that the node judged without its server.");
        for limiter in limiters {
            let count = limiter.counts.alone.load(Ordering::Relaxed);
            page.counter(name, &[("filter", &*limiter.name)], count);
        }
    }
    if !ledgers.is_empty() {
        let name = "pilotlight_redis_up";
        page.family(name, "gauge", "0: the server is lost, and the node decides alone.");
        for ledger in ledgers {
            let up = if ledger.is_lost() { 0.0 } else { 1.0 };
            page.sample(name, &[("redis", &**ledger.name())], up);
        }
        let name = "pilotlight_redis_nodes";
        page.family(name, "gauge", "Nodes that share the server, as far as is known.");
        for ledger in ledgers {
            page.sample(name, &[("redis", &**ledger.name())], f64::from(ledger.nodes()));
        }
    }
}
