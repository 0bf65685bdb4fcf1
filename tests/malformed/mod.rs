//! Malformed and ambiguous messages: refused, and never seen by an upstream.
//!
//! Each row of the tables is a request that some server somewhere reads in a second way. The rows follow
//! RFC 9112, 9113 and 9114; `upstream.rs` mirrors them: answers that a client must never take for whole.

mod h1;
mod h2;
mod h3;
mod sections;
mod upstream;

use crate::support::gateway::Setup;
use crate::support::message::{Protocol, ask};
use crate::support::{Gateway, Request, Script, Upstream};

/// Good requests go here, to tell them from what a malformed one may cause.
const GOOD: &str = "/good";

/// A gateway whose every request goes to a recording upstream.
struct Stage {
    gateway: Gateway,
    upstream: Upstream,
    failures: Vec<String>,
}

impl Stage {
    async fn new() -> Stage {
        let upstream = Upstream::always(Script::ok("forwarded")).await;
        let rest = format!(
            "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nendpoints = [\"http://{}\"]\n",
            upstream.address
        );
        let gateway = Setup::new(rest).quiet().start().await;
        Stage { gateway, upstream, failures: Vec::new() }
    }

    /// How many requests but for good ones went up; `whole`: only those that came to their end.
    fn leaked(&self, whole: bool) -> Vec<String> {
        let seen = self.upstream.requests();
        let bad = seen.iter().filter(|r| !r.line.contains(GOOD) && (r.whole || !whole));
        bad.map(|r| format!("{} {:?} {:?}", r.line, r.fields, r.body.escape_ascii().to_string()))
            .collect()
    }

    fn fail(&mut self, name: &str, why: &str) {
        self.failures.push(format!("{name}: {why}"));
    }

    /// After a row: nothing came through, and others are served.
    async fn after(&mut self, protocol: Protocol, name: &str, before: usize, whole: bool) {
        let good = ask(protocol, &self.gateway, &Request::get(GOOD)).await;
        if !good.is(200) {
            self.fail(name, &format!("a good request afterwards: {good}"));
        }
        let leaked = self.leaked(whole);
        if leaked.len() > before {
            self.fail(name, &format!("reached the upstream: {}", leaked[before..].join("; ")));
        }
    }

    fn end(mut self, rows: usize) {
        assert!(self.gateway.is_alive(), "the gateway is gone");
        let count = self.failures.len();
        assert!(count == 0, "{count} failures in {rows} rows:\n{}", self.failures.join("\n"));
    }
}

#[test]
fn the_table_is_long() {
    let rows = h1::rows().len() + 2 * sections::rows().len() + h2::rows().len() + h3::rows().len();
    assert!(rows >= 200, "{rows} rows");
    assert!(h1::rows().len() >= 70);
    assert!(upstream::rows().len() >= 30);
}
