//! What nodes do besides taking releases: windows, restarts, drift, quarantine, first releases, short ways.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use pilotlight_agent::{Agent, Files as _, Pointer, launch};
use pilotlight_fleet::message::Desired;
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::File;
use pilotlight_fleet::rollout::{Failure, Reported};
use pilotlight_fleet::window::{Window, Windows, Zone};
use support::{Node, desired, settings};

/// 2026-11-27, a Friday, at noon in UTC.
const NOON: i64 = 1_795_780_800;

#[test]
fn a_node_switches_in_its_own_windows_alone() {
    let mut node = Node::new();
    let mut settings = settings();
    // Two in the morning in Berlin is one in UTC.
    let night = Window { days: 0x7f, from: 120, to: 180 };
    let zone = Zone::Named("Europe/Berlin".into());
    settings.windows = Some(Windows { zone, switch: vec![night] });
    node.agent = Agent::new(settings);
    node.world.wall = NOON;
    let (reported, said) = node.try_for("2.0", 2);
    assert_eq!((reported, said.as_str()), (Some(Reported::Ready), "it waits for its window"));
    assert_eq!(node.runs(), "edge@1.0");
    // In 1970 nobody knows whether it is open.
    node.world.wall = 90 * 60;
    let (reported, said) = node.try_for("2.0", 3);
    assert_eq!(reported, Some(Reported::Ready));
    assert!(said.contains("a clock that is right"), "{said}");
    node.world.wall = NOON + 13 * 3600 + 1800;
    node.settle();
    assert_eq!(node.runs(), "edge@2.0");
    // The way back waits for nothing.
    assert_eq!(node.want(desired("crash", 4)).0, Some(Reported::Failed(Failure::CrashLoop)));
    node.world.wall = NOON;
    assert_eq!(node.runs(), "edge@2.0");
}

#[test]
fn a_release_that_needs_it_has_another_start_and_so_has_the_way_back() {
    let mut node = Node::new();
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    assert_eq!(node.world.restarts, 0);
    // It asks for it; its manifest is another file; the one after is again.
    for (serial, version) in [(3, "anew"), (4, "moved"), (5, "1.0")] {
        assert_eq!(node.want(desired(version, serial)).0, Some(Reported::Committed));
        assert_eq!(node.world.restarts, usize::try_from(serial).unwrap() - 2, "{version}");
    }
    node.world.add("anew-crash", 5);
    assert_eq!(node.want(desired("anew-crash", 6)).0, Some(Reported::Failed(Failure::CrashLoop)));
    assert_eq!((node.world.restarts, node.runs().as_str()), (5, "edge@1.0"));
    // Without anybody who could start it, nothing is begun.
    node.world.unlaunched = true;
    let (reported, said) = node.try_for("moved", 7);
    assert_eq!(reported, Some(Reported::Ready));
    assert!(said.contains("no launcher is there"), "{said}");
    assert_eq!(node.want(desired("2.0", 8)).0, Some(Reported::Committed));
}

#[test]
fn a_first_release_that_is_bad_ends_and_leaves_nothing() {
    for (version, failure) in [("crash", Failure::CrashLoop), ("1.0", Failure::Probe)] {
        let mut node = Node::empty();
        node.world.away = version == "1.0";
        let (reported, said) = node.want(desired(version, 1));
        assert_eq!(reported, Some(Reported::Failed(failure)), "{said}");
        let pointer = Pointer::read(&node.disk).unwrap();
        assert_eq!((&pointer.trial, &pointer.good), (&None, &None));
        assert!(pointer.starts > 0 && launch::start(&mut node.disk).unwrap().is_none());
        // The next one is not held up by it.
        node.world.away = false;
        assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    }
    // A controller that takes it back has nothing else to say.
    let mut node = Node::empty();
    node.agent.desire(desired("1.0", 1), node.now);
    node.steps(16);
    assert!(Pointer::read(&node.disk).unwrap().trial.is_some());
    node.want(Desired { serial: 2, ..Desired::default() });
    let pointer = Pointer::read(&node.disk).unwrap();
    assert!(pointer.trial.is_none() && pointer.good.is_none() && pointer.denied.is_empty());
    // One that has no word for it says nothing, and one that is away says nothing either.
    node.agent.desire(desired("1.0", 3), node.now);
    node.steps(6);
    assert!(Pointer::read(&node.disk).unwrap().trial.is_some());
    assert_eq!(node.want(Desired::default()).0, Some(Reported::Committed));
    // Without a launcher there is nothing to be said against a release.
    let mut node = Node::empty();
    (node.world.away, node.world.unlaunched) = (true, true);
    node.agent.desire(desired("1.0", 1), node.now);
    node.steps(2000);
    assert!(Pointer::read(&node.disk).unwrap().trial.is_some());
}

#[test]
fn what_was_given_up_is_tried_again_when_somebody_lifts_it() {
    let mut node = Node::new();
    assert_eq!(node.want(desired("crash", 2)).0, Some(Reported::Failed(Failure::CrashLoop)));
    assert_eq!(node.want(desired("bad", 3)).0, Some(Reported::Rejected));
    let switches = node.world.switches;
    node.steps(50);
    assert_eq!(node.world.switches, switches);
    let denied = Pointer::read(&node.disk).unwrap().denied;
    let lift = |node: &mut Node, begins: &str| Pointer::lift(&mut node.disk, begins).unwrap();
    assert_eq!(lift(&mut node, "none"), 0);
    assert_eq!(lift(&mut node, &denied[1].release.hex()[..12]), 1);
    // The agent sees it, tries again, and is not convinced.
    node.settle();
    assert_eq!(node.agent.progress().unwrap().reported, Reported::Rejected);
    assert_eq!(Pointer::read(&node.disk).unwrap().denied.len(), 2);
    assert_eq!(lift(&mut node, ""), 2);
    assert_eq!(node.want(desired("crash", 4)).0, Some(Reported::Failed(Failure::CrashLoop)));
}

#[test]
fn what_was_changed_on_a_node_is_found_and_put_back() {
    let mut node = Node::new();
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    let id = Pointer::read(&node.disk).unwrap().good.unwrap().id;
    let switches = node.world.switches;
    node.idle(590);
    node.disk.spoil(&format!("generations/{id}/filters/auth.lua"));
    node.disk.remove(&format!("generations/{id}/pilotlight.toml")).unwrap();
    node.disk.remove(&format!("generations/{id}.release")).unwrap();
    assert_eq!(node.agent.drift(), 0);
    node.idle(30);
    assert_eq!((node.agent.drift(), node.world.switches), (2, switches + 1));
    let said = node.agent.progress().unwrap().message.clone().unwrap();
    assert!(said.contains("put back: filters/auth.lua, pilotlight.toml"), "{said}");
    assert_eq!(node.runs(), "edge@2.0");
    // Nothing is changed that is as it should be.
    let count = node.disk.count;
    node.idle(2000);
    assert_eq!((node.agent.drift(), node.world.switches), (2, switches + 1));
    assert!(node.disk.count - count <= 4, "{}", node.disk.count - count);
}

#[test]
fn a_module_of_which_little_changes_costs_little() {
    let mut node = Node::new();
    let before = node.world.fetched;
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    let fetched = node.world.fetched - before;
    assert!(fetched < 500, "{fetched} bytes");
    // A patch that leads elsewhere is no use, and the module comes whole.
    let (version, digest) = ("3.0", std::cell::RefCell::new(None));
    node.world.add_with(version, 5, |release| {
        for ways in release.packed.values_mut() {
            ways[0].from = Some(release.files["filters/deep/same.lua"].digest.clone());
            digest.replace(Some(ways[0].digest.clone()));
        }
    });
    assert_eq!(node.want(desired(version, 3)).0, Some(Reported::Committed));
    assert_eq!(node.runs(), "edge@3.0");
    let left = node.disk.list("blobs").unwrap();
    assert!(!left.iter().any(|name| digest.borrow().as_ref().unwrap().hex() == name), "{left:?}");
    // So is one that mirrors have spoilt.
    node.world.add_with("new", 5, |release| {
        let way = &release.packed.values().next().unwrap()[0];
        digest.replace(Some(way.digest.clone()));
    });
    let spoilt = node.world.blobs.get_mut(digest.borrow().as_ref().unwrap()).unwrap();
    spoilt[20] ^= 1;
    assert_eq!(node.want(desired("new", 4)).0, Some(Reported::Committed));
    assert_eq!(node.runs(), "edge@new");
}

#[test]
fn a_patch_that_no_source_has_gives_way_to_the_whole() {
    let mut node = Node::new();
    let packed = std::cell::RefCell::new(None);
    node.world.add_with("2.0", 5, |release| {
        packed.replace(release.packed.values().next().map(|ways| ways[0].digest.clone()));
    });
    let packed = packed.into_inner().unwrap();
    let patch = node.world.blobs.remove(&packed).unwrap();
    let mut whole = Node { disk: node.disk.clone(), world: node.world.clone(), ..Node::empty() };
    assert_eq!(whole.want(desired("2.0", 2)).0, Some(Reported::Committed));
    assert!(whole.world.fetched - node.world.fetched > 3000);
    // A disk that is full says nothing about patches.
    node.world.blobs.insert(packed, patch);
    let fetched = node.world.fetched;
    node.agent.desire(desired("2.0", 2), node.now);
    node.steps(2);
    node.disk.free = 10;
    node.steps(6);
    assert!(node.agent.progress().unwrap().message.as_ref().unwrap().contains("the disk"));
    node.disk.free = 1 << 30;
    node.settle();
    assert_eq!(node.runs(), "edge@2.0");
    assert!(node.world.fetched - fetched < 3000, "{}", node.world.fetched - fetched);
}

#[test]
fn a_node_takes_the_code_of_its_own_machine() {
    let mut node = Node::new();
    let code = |node: &mut Node, text: &str| {
        let digest = Digest::of_bytes(text.as_bytes());
        node.world.blobs.insert(digest.clone(), text.as_bytes().to_vec());
        File { digest, size: text.len() as u64, program: false }
    };
    let (x86, arm) = (code(&mut node, "x86 code"), code(&mut node, "arm code"));
    let ours = [("modules/m2.cwasm".to_owned(), x86)];
    let theirs = [("modules/m2.cwasm".to_owned(), arm.clone())];
    node.world.add_with("2.0", 5, |release| {
        release.targets.insert("x86_64-unknown-linux-gnu".into(), ours.into());
        release.targets.insert("pulley32".into(), theirs.clone().into());
    });
    node.world.add_with("3.0", 5, |release| {
        release.targets.insert("pulley32".into(), theirs.into());
    });
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    let id = Pointer::read(&node.disk).unwrap().good.unwrap().id;
    let path = format!("generations/{id}/modules/m2.cwasm");
    assert_eq!(node.disk.read(&path, 100).unwrap(), b"x86 code");
    assert!(node.disk.length(&format!("blobs/{}", arm.digest.hex())).is_err());
    // What is not for this machine is no fault of the release.
    let (_, said) = node.try_for("3.0", 3);
    assert!(said.contains("its code is for pulley32, this node is x86_64"), "{said}");
    assert!(Pointer::read(&node.disk).unwrap().denied.is_empty());
}

#[test]
fn a_torn_slot_is_none_and_the_other_one_counts() {
    let mut node = Node::new();
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    let whole = Pointer::read(&node.disk).unwrap();
    for slot in ["pointer.0", "pointer.1"] {
        let mut disk = node.disk.clone();
        let bytes = disk.read(slot, 1 << 16).unwrap();
        disk.write(slot, &bytes[..bytes.len() / 2]).unwrap();
        let pointer = Pointer::read(&disk).unwrap();
        assert!(pointer.good.is_some() && pointer.serial + 1 >= whole.serial);
        // What is written next is whole again.
        Pointer::update(&mut disk, &mut |pointer| pointer.seen += 1).unwrap();
        assert_eq!(Pointer::read(&disk).unwrap().serial, pointer.serial + 1);
        assert!(launch::start(&mut disk).unwrap().is_some());
    }
}
