//! The core with a store and without sockets: it is dropped and read again after every single request.
#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use pilotlight_controller::core::Outcome;
use pilotlight_fleet::manifest::Enrol;
use pilotlight_fleet::message::Status;
use pilotlight_fleet::plan::Digest;
use serde_json::json;
use world::{Node, World, nodes, run};

#[test]
fn a_controller_that_dies_after_every_request_rolls_out_and_takes_back() {
    let mut world = World::new("restless", Enrol::Open);
    let mut nodes = nodes(5);
    for node in &mut nodes {
        assert_eq!(node.poll(&mut world), 200);
    }
    world.restless = true;
    assert_eq!(world.roll_out("1").0, 200);
    assert_eq!(run(&mut world, &mut nodes)["phase"], "done");
    let (one, two) = (world.release("1").1, world.release("2").1);
    assert!(nodes.iter().all(|node| node.status.runs.as_ref() == Some(&one)));

    // Both canaries crash: it is taken back, and who had it goes back.
    for node in &mut nodes {
        node.crashes = Some(two.clone());
    }
    assert_eq!(world.roll_out("2").0, 200);
    let told = run(&mut world, &mut nodes);
    assert_eq!(
        (&told["phase"], &told["waves"][0]["failed"]["crash_loop"]),
        (&json!("reverted"), &json!(2))
    );
    assert!(nodes.iter().all(|node| node.status.runs.as_ref() == Some(&one)));
    assert_eq!(told["failures"][0]["message"], "boom");

    // One that is under way is not overtaken; a node whose disk is new gets what it had.
    assert_eq!(world.roll_out("3").0, 200);
    let (status, why) = world.roll_out("4");
    assert!(status == 409 && why["error"].as_str().unwrap().contains("abort it first"), "{why}");
    assert_eq!(run(&mut world, &mut nodes)["phase"], "done");
    let three = world.release("3").1;
    nodes[0].status = Status { boot: "new".into(), ..Node::new("n1").status };
    nodes[0].tag = String::new();
    for _ in 0..6 {
        nodes[0].poll(&mut world);
        nodes[0].act();
        world.tick();
    }
    assert_eq!(nodes[0].status.runs, Some(three));
}

#[test]
fn an_old_backup_stops_and_changes_nobody() {
    let mut world = World::new("backup", Enrol::Open);
    let mut nodes = nodes(3);
    for node in &mut nodes {
        node.poll(&mut world);
    }
    assert_eq!(world.roll_out("1").0, 200);
    run(&mut world, &mut nodes);
    assert_eq!(world.roll_out("2").0, 200);
    // One of them has followed wishes that this store does not know.
    nodes[0].status.seen = 40;
    nodes[0].status.runs = Some(Digest::of_bytes(b"newer"));
    nodes[0].poll(&mut world);
    assert_eq!((nodes[0].desired.serial, &nodes[0].desired.release), (41, &None));
    let told = world.latest().unwrap();
    assert!(told["paused"].as_str().unwrap().contains("old backup"), "{told}");
    assert_eq!(world.call("POST", "/v1/rollouts/latest/resume", None).0, 200);
}

#[test]
fn nobody_speaks_for_another_node() {
    let mut world = World::new("tokens", Enrol::Token);
    let (status, told) =
        world.call("POST", "/v1/tokens", Some(json!({ "name": "nodes", "role": "enrol" })));
    assert_eq!(status, 200);
    let operator = std::mem::replace(&mut world.token, told["token"].as_str().unwrap().into());
    let mut node = Node::new("n1");
    assert_eq!(node.poll(&mut world), 401);
    // Who may only enrol may do nothing else.
    assert_eq!(world.call("GET", "/v1/nodes", None).0, 403);
    let (one, two) = ("1".repeat(32), "2".repeat(32));
    let enrol = |secret: &str| Some(json!({ "node": "n1", "secret": secret }));
    assert_eq!(world.call("POST", "/v1/enrol", enrol("short")).0, 400);
    assert_eq!(world.call("POST", "/v1/enrol", enrol(&one)).0, 200);
    // An answer that was lost is asked for again; somebody else is not n1.
    assert_eq!(world.call("POST", "/v1/enrol", enrol(&one)).0, 200);
    assert_eq!(world.call("POST", "/v1/enrol", enrol(&two)).0, 409);
    world.token = one;
    assert_eq!(node.poll(&mut world), 200);
    assert_eq!(Node::new("n2").poll(&mut world), 401);
    assert_eq!(world.call("GET", "/v1/audit", None).0, 403);
    // A clone shows, and an operator ends it.
    let mut clone = Node::new("n1");
    clone.status.boot = "another".into();
    for _ in 0..2 {
        node.poll(&mut world);
        clone.poll(&mut world);
    }
    world.token = operator;
    assert_eq!(world.call("GET", "/v1/nodes", None).1[0]["doubled"], true);
    assert_eq!(world.call("DELETE", "/v1/tokens/node:n1", None).0, 200);
    // Each line of the log holds the digest of the one before.
    let (_, told) = world.call("GET", "/v1/audit", None);
    let lines: Vec<pilotlight_controller::store::Audit> = serde_json::from_value(told).unwrap();
    assert!(lines.len() > 4);
    for pair in lines.windows(2) {
        assert_eq!(pair[1].before, Some(pair[0].digest()));
    }
}

#[test]
fn what_a_node_warns_of_is_kept_and_shown_as_plain_words() {
    let mut world = World::new("warnings", Enrol::Open);
    world.restless = true;
    let mut node = Node::new("n1");
    node.status.warnings = vec!["root 1 expires\u{1b}[2J in <5> days".into(), "x".repeat(9000)];
    node.status.warnings.extend((0..100).map(|at| at.to_string()));
    node.status.drift = 3;
    node.say(pilotlight_fleet::rollout::Reported::Idle);
    node.status.progress.as_mut().unwrap().message = Some("one\ntwo".into());
    assert_eq!(node.poll(&mut world), 200);
    let told = &world.call("GET", "/v1/nodes", None).1[0];
    assert_eq!((&told["mended"], &told["drift"]), (&json!(3), &json!(false)));
    assert_eq!(told["warnings"][0], "root 1 expires [2J in <5> days");
    assert_eq!(told["warnings"][1].as_str().unwrap().len(), 2048);
    assert_eq!(told["warnings"].as_array().unwrap().len(), 16);
    assert_eq!(told["progress"]["message"], "one two");
    let page = |world: &mut World| {
        let request = world.request("GET", "/", None);
        let Outcome::Answer(page) = world.ask(&request) else { panic!("no page") };
        String::from_utf8(page.body).unwrap()
    };
    let shown = page(&mut world);
    assert!(
        shown.contains("3 files put back") && shown.contains("n1: root 1 expires [2J in &lt;5&gt;")
    );
    // No number is too large to be shown with others.
    let mut other = Node::new("n2");
    other.status.drift = u64::MAX;
    assert_eq!(other.poll(&mut world), 200);
    assert!(page(&mut world).contains(&format!("{} files put back", u64::MAX)));
}
