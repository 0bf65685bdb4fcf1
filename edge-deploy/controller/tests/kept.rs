//! What is kept: snapshots of journals, backups, the fleet's manifest, who may do what.
#![allow(clippy::unwrap_used, clippy::panic)]

mod world;

use std::collections::BTreeMap;
use std::path::Path;

use pilotlight_controller::store::Store as _;
use pilotlight_fleet::manifest::{Enrol, Fleet, From};
use serde_json::{Value, json};
use world::{ROLLOUT, World, nodes, run};

/// A copy of the store, made while a wave was under way, comes back when all is done: nodes stay as they are.
#[test]
fn a_backup_of_the_middle_of_a_wave_takes_nothing_from_nodes_that_went_on() {
    let mut world = World::new("middle", Enrol::Open);
    let mut nodes = nodes(6);
    for node in &mut nodes {
        node.poll(&mut world);
    }
    assert_eq!(world.roll_out("1").0, 200);
    run(&mut world, &mut nodes);
    assert_eq!(world.roll_out("2").0, 200);
    for _ in 0..3 {
        for node in &mut nodes {
            node.poll(&mut world);
            node.act();
        }
        world.tick();
    }
    assert_eq!(world.latest().unwrap()["phase"], "wave");
    drop(world.core.take());
    let (file, copy) = (world.folder.join("controller.db"), world.folder.join("copy.db"));
    std::fs::copy(&file, &copy).unwrap();
    world.open();
    run(&mut world, &mut nodes);
    let two = world.release("2").1;
    assert!(nodes.iter().all(|node| node.status.runs.as_ref() == Some(&two)));

    drop(world.core.take());
    std::fs::copy(&copy, &file).unwrap();
    world.open();
    for _ in 0..10 {
        for node in &mut nodes {
            node.poll(&mut world);
            node.act();
            assert_eq!(node.status.runs.as_ref(), Some(&two), "{}", node.status.node);
        }
        world.tick();
    }
    let told = world.latest().unwrap();
    assert!(told["paused"].as_str().unwrap().contains("old backup"), "{told}");
    // Somebody has looked: it finds out where its nodes are, and ends.
    assert_eq!(world.call("POST", "/v1/rollouts/latest/resume", None).0, 200);
    assert_eq!(run(&mut world, &mut nodes)["phase"], "done");
    assert!(nodes.iter().all(|node| node.status.runs.as_ref() == Some(&two)));
}

#[test]
fn a_journal_does_not_grow_without_end() {
    let mut world = World::new("journal", Enrol::Open);
    let mut nodes = nodes(3);
    for node in &mut nodes {
        node.poll(&mut world);
    }
    assert_eq!(world.roll_out("1").0, 200);
    // A node that never comes to an end: each second is a line.
    nodes[0].poll(&mut world);
    let mut longest = 0;
    for turn in 0..400 {
        world.tick();
        let (_, store) = world.core.as_mut().unwrap();
        longest = longest.max(store.journal(1).unwrap().len());
        if turn % 50 == 0 {
            let before = world.latest();
            world.open();
            assert_eq!(before, world.latest());
        }
    }
    assert!((70..100).contains(&longest), "{longest}");
    run(&mut world, &mut nodes);
    // Of what is over nothing is to be read again.
    let (_, store) = world.core.as_mut().unwrap();
    assert!(store.snapshot(1).unwrap().is_some());
    assert_eq!(store.journal(1).unwrap(), []);
    // Nobody asks about what was long ago: it is not loaded.
    for version in 2..=24 {
        assert_eq!(world.roll_out(&version.to_string()).0, 200);
        run(&mut world, &mut nodes);
    }
    let (_, store) = world.core.as_mut().unwrap();
    assert_eq!(store.load().unwrap().rollouts.len(), 20);
    let before = world.latest();
    world.open();
    assert_eq!(before, world.latest());
}

#[test]
fn a_hold_counts_when_the_manifest_is_read_again() {
    let mut world = World::new("heed", Enrol::Open);
    let mut nodes = nodes(3);
    for node in &mut nodes {
        node.poll(&mut world);
    }
    assert_eq!(world.roll_out("1").0, 200);
    let text = "kind = \"fleet\"\n[nodes.n2]\nhold = \"new disk\"\n";
    let from = From { env: &|_| None, disk: &pilotlight_config::Local };
    let (fleet, _) = Fleet::parse(text, Path::new("fleet.toml"), from)
        .unwrap_or_else(|report| panic!("{}", report.render(false)));
    let now = world.now();
    for fleet in [fleet.clone(), fleet] {
        world.core.as_mut().unwrap().0.heed(fleet, now);
        world.settle();
    }
    for _ in 0..20 {
        for node in &mut nodes {
            node.poll(&mut world);
            node.act();
        }
        world.tick();
    }
    let runs: Vec<_> = nodes.iter().map(|node| node.status.runs.is_some()).collect();
    assert_eq!(runs, [true, false, true]);
    // It is written down once.
    let (_, told) = world.call("GET", "/v1/audit", None);
    let read = |line: &&Value| line["what"].as_str().unwrap().contains("manifest");
    assert_eq!(told.as_array().unwrap().iter().filter(read).count(), 1);
}

#[test]
fn each_role_may_do_what_it_is_for() {
    let mut world = World::new("roles", Enrol::Open);
    let mut nodes = nodes(3);
    for node in &mut nodes {
        node.poll(&mut world);
    }
    let text = "approve = [\"captain\"]\n[[abort]]";
    assert_eq!(world.roll_out_of("1", &ROLLOUT.replace("[[abort]]", text)).0, 200);
    let admin = world.token.clone();
    let mut tokens = BTreeMap::from([("admin", admin.clone())]);
    for (name, role) in
        [("vera", "viewer"), ("captain", "approver"), ("anne", "approver"), ("otto", "operator")]
    {
        let body = json!({ "name": name, "role": role });
        let (status, told) = world.call("POST", "/v1/tokens", Some(body));
        assert_eq!(status, 200);
        tokens.insert(name, told["token"].as_str().unwrap().to_owned());
    }
    for _ in 0..30 {
        for node in &mut nodes {
            node.poll(&mut world);
            node.act();
        }
        world.tick();
    }
    assert_eq!(world.latest().unwrap()["asks"], json!(["captain"]));
    let id = "/v1/rollouts/1";
    for (who, method, path, status) in [
        ("vera", "GET", id.to_owned(), 200),
        ("vera", "GET", "/v1/audit".into(), 200),
        ("vera", "POST", format!("{id}/approve"), 403),
        ("vera", "POST", format!("{id}/pause"), 403),
        ("anne", "POST", format!("{id}/pause"), 403),
        ("anne", "POST", format!("{id}/approve"), 409),
        ("otto", "POST", format!("{id}/approve"), 409),
        ("otto", "POST", "/v1/tokens".into(), 403),
        ("captain", "GET", "/v1/tokens".into(), 403),
        ("captain", "POST", format!("{id}/approve"), 200),
        ("otto", "POST", format!("{id}/pause"), 200),
        ("otto", "DELETE", "/v1/tokens/vera".into(), 403),
        ("admin", "DELETE", "/v1/tokens/vera".into(), 200),
    ] {
        world.token = tokens[who].clone();
        let (got, told) = world.call(method, &path, None);
        assert_eq!(got, status, "{who} {method} {path}: {told}");
        if (who, status) == ("anne", 409) {
            assert!(told["error"].as_str().unwrap().contains("but captain"), "{told}");
        }
    }
    // Who did what is written down.
    let (_, told) = world.call("GET", "/v1/audit", None);
    let said = told.to_string();
    for wanted in
        ["captain", "approve of rollout 1", "otto", "pause of rollout 1", "revoked the token vera"]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
