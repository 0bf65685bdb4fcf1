//! Two controllers on one PostgreSQL: one leads, one stands by; either may die at any time.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

#[path = "../../controller/tests/postgresql/mod.rs"]
mod postgresql;
mod support;

use postgresql::Server;
use support::{Fleet, Node, ROLLOUT};

#[test]
fn another_controller_goes_on_in_the_middle_of_a_wave() {
    let server = Server::start("shared");
    let mut fleet = Fleet::on("shared", &server.url());
    let first = fleet.urls().remove(0);
    let second = fleet.join("second");

    // One leads. The other one lives, is not ready, and says who leads; commands go there by themselves.
    assert_eq!(fleet.get_from(&first, "/readyz").0, 200);
    assert_eq!(fleet.get_from(&second, "/healthz").0, 200);
    assert_eq!(fleet.get_from(&second, "/readyz").0, 503);
    let (status, told) = fleet.get_from(&second, "/v1/nodes");
    assert!(status == 503 && told.contains(&format!("{first} leads")), "{status} {told}");
    assert_eq!(fleet.run(&["nodes", "--controller", &second]).0, 0);

    // Nodes name both, that one first.
    let nodes: Vec<Node> = (1..=4).map(|at| fleet.node(&format!("n{at}"))).collect();
    let runs = |version: &str| {
        nodes.iter().filter(|node| node.runs() == format!("edge@{version}")).count()
    };
    fleet.until("all nodes enrol", || fleet.inventory().len() == 4);
    fleet.pack("1.0.0", "-- one");
    fleet.begin("1.0.0", ROLLOUT);
    fleet.until("the canary", || fleet.status()["waves"][0]["committed"] == 1);
    let before = fleet.status();
    fleet.kill();
    assert_eq!(runs("1.0.0"), 1);
    fleet.until("the other one leads", || fleet.get_from(&second, "/readyz").0 == 200);
    let after = fleet.status();
    for key in ["id", "wave", "waves", "by", "began"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    let (code, said) = fleet.run(&["status", "--watch"]);
    assert!(code == 0 && runs("1.0.0") == 4, "{code} {said}");

    // The first one is back, and stands by. Then the database dies under the one that leads: one of them goes on.
    fleet.start();
    assert_eq!(fleet.get_from(&first, "/readyz").0, 503);
    fleet.pack("2.0.0", "-- two");
    fleet.begin("2.0.0", ROLLOUT);
    fleet.until("the canary", || fleet.status()["waves"][0]["committed"] == 1);
    server.crash();
    let (code, said) = fleet.run(&["status", "--watch"]);
    assert!(code == 0 && runs("2.0.0") == 4, "{code} {said}");
    let (code, said) = fleet.run(&["audit"]);
    assert_eq!(code, 0, "{said}");
    // No wave began twice.
    assert_eq!(said.matches("wave canary begins").count(), 2, "{said}");
}
