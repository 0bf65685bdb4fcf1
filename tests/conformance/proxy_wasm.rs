//! The proxy-wasm kit: `proxy-wasm/cases/*.toml`, each with a filter of its own in one gateway.
//! `proxy-wasm/README.md` says what the keys mean and how another host runs them.

mod case;
mod host;
mod names;
mod walk;

use self::case::cases;
use self::host::start;
pub use self::names::names;
use self::walk::walk;
use crate::support::message::Protocol;
use crate::support::{Upstream, run};

#[test]
fn each_case_of_the_kit_passes() {
    each_passes(Protocol::H1, None);
}

#[test]
fn each_case_of_the_kit_passes_over_http2() {
    each_passes(Protocol::H2, None);
}

#[test]
fn each_case_of_the_kit_passes_over_http3() {
    each_passes(Protocol::H3, None);
}

/// The same with calls that may take long: they run beside the worker's other work.
#[test]
fn each_case_of_the_kit_passes_on_fibers() {
    each_passes(Protocol::H1, Some("200ms"));
}

fn each_passes(protocol: Protocol, cpu: Option<&str>) {
    let all = cases();
    let only = std::env::var("CASE").unwrap_or_default();
    run(async {
        let app = Upstream::start(Vec::new()).await;
        let (gateway, flows) = start(&all, &app, cpu).await;
        let mut failed = Vec::new();
        for (number, case) in all.iter().enumerate() {
            let once = case.http1 || !case.flow.is_empty();
            if !case.name.contains(&only) || once && protocol != Protocol::H1 {
                continue;
            }
            let wrong = walk(protocol, &gateway, &app, number, case, flows[number]).await;
            if !wrong.is_empty() {
                failed.push(format!("{}\n  {}", case.name, wrong.join("\n  ")));
            }
        }
        assert!(failed.is_empty(), "{} failed:\n\n{}", failed.len(), failed.join("\n\n"));
    });
}
