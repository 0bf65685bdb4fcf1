//! How many instances there are, and what they hold.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{component, gateway};
use crate::support::gateway::{Gateway, Setup};
use crate::support::message::{Protocol, ask};
use crate::support::{Request, run};

/// Asks so many times at once; gives the statuses.
async fn many(gateway: &Arc<Gateway>, path: &'static str, count: usize) -> Vec<u16> {
    let mut all = JoinSet::new();
    for _ in 0..count {
        let gateway = gateway.clone();
        all.spawn(async move { ask(Protocol::H1, &gateway, &Request::get(path)).await.status });
    }
    all.join_all().await
}

#[test]
fn exchanges_past_the_instances_of_an_application_are_told_to_come_again() {
    run(async {
        let gateway = Arc::new(gateway("limits = { instances = 3 }", "").await);
        let statuses = many(&gateway, "/sleep", 8).await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 5, "{statuses:?}");
        gateway.logged(&["route:app", "3 instances are in use"]).await.unwrap();
        ask(Protocol::H1, &gateway, &Request::get("/env")).await.assert(200);
    });
}

/// More at a time than the pool has slots.
#[test]
fn instances_know_nothing_of_those_that_had_their_place_before() {
    run(async {
        let gateway = Arc::new(gateway("", "").await);
        let statuses = many(&gateway, "/sleep", 80).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        for _ in 0..200 {
            let answer = ask(Protocol::H1, &gateway, &Request::get("/again")).await;
            assert_eq!(answer.text(), "1 7340032");
        }
    });
}

#[test]
fn all_instances_together_hold_no_more_than_the_manifest_says() {
    run(async {
        let manifest = "[wasm]\nmemory = \"4MiB\"\n[[routes]]\nname = \"app\"\n[routes.component]\n\
                        wasm = \"app.wasm\"\nlimits = { memory = \"64MiB\" }\n";
        let setup = Setup::new(manifest).file("app.wasm", component());
        let gateway = Arc::new(setup.start().await);
        let statuses = many(&gateway, "/sleep", 16).await;
        let good = statuses.iter().filter(|status| **status == 200).count();
        let busy = statuses.iter().filter(|status| **status == 503).count();
        assert!(good > 0 && busy > 0 && good + busy == 16, "{statuses:?}");
        gateway.logged(&["route:app", "`[wasm] memory`"]).await.unwrap();
        // One that grows until there is nothing harms itself.
        ask(Protocol::H1, &gateway, &Request::get("/grow")).await.assert(503);
        ask(Protocol::H1, &gateway, &Request::get("/env")).await.assert(200);
    });
}
