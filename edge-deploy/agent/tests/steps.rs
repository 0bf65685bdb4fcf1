//! What an agent does, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use pilotlight_agent::launch::{self, Exits};
use pilotlight_agent::{Agent, Files as _, Pointer};
use pilotlight_fleet::manifest::Confirm;
use pilotlight_fleet::message::Desired;
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::rollout::{Failure, Reported};
use support::disk::Disk;
use support::{Node, desired, settings, settle};

#[test]
fn a_good_release_is_committed_and_a_bad_one_is_not_tried_again() {
    let mut node = Node::new();
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    assert_eq!(node.runs(), "edge@2.0");
    let (reported, message) = node.want(desired("bad", 3));
    assert_eq!((reported, message.as_str()), (Some(Reported::Rejected), "a test does not pass"));
    let (reported, message) = node.want(desired("crash", 4));
    assert_eq!(reported, Some(Reported::Failed(Failure::CrashLoop)));
    assert!(message.contains("filters failed"), "{message}");
    assert_eq!(node.runs(), "edge@2.0");
    // Not by itself, and not by an agent that has just started.
    let switches = node.world.switches;
    node.agent = Agent::new(settings());
    assert_eq!(node.want(desired("crash", 5)).0, Some(Reported::Failed(Failure::CrashLoop)));
    assert_eq!(node.world.switches, switches + 1);
    // But when somebody says so.
    let retry = Desired { retry: true, ..desired("crash", 6) };
    assert_eq!(node.want(retry).0, Some(Reported::Failed(Failure::CrashLoop)));
    assert_eq!(node.world.switches, switches + 3);
    // Back to what is still on the disk, without a network.
    node.world.offline = true;
    assert_eq!(node.want(desired("1.0", 7)).0, Some(Reported::Committed));
    assert_eq!(node.runs(), "edge@1.0");
}

#[test]
fn old_wishes_and_low_epochs_are_refused() {
    let mut node = Node::new();
    assert_eq!(node.want(desired("2.0", 7)).0, Some(Reported::Committed));
    let (reported, message) = node.want(desired("1.0", 6));
    assert!(reported == Some(Reported::Idle) && message.contains("older than 7"), "{message}");
    let (reported, message) = node.want(desired("old", 8));
    assert!(reported == Some(Reported::Rejected) && message.contains("none below 5"), "{message}");
    // The floor rises with a commit only.
    assert_eq!(node.want(desired("new", 9)).0, Some(Reported::Committed));
    assert_eq!(node.want(desired("2.0", 10)).0, Some(Reported::Rejected));
    assert_eq!(node.runs(), "edge@new");
    // Another release under that name is none.
    let mut other = desired("3.0", 11);
    other.release.as_mut().unwrap().digest = Some(Digest::of_bytes(b"other"));
    node.world.offline = false;
    node.agent.desire(other, node.now);
    node.agent.step(&mut node.disk, &mut node.world, node.now).unwrap();
    let said = node.agent.progress().unwrap().message.clone().unwrap();
    assert!(said.contains("the source has another one"), "{said}");
    // So is one that nobody has signed, and nobody is blamed for it.
    let signed = node.world.releases.get_mut(&("edge".into(), "3.0".into())).unwrap();
    let end = signed.len() - 3;
    signed[end] ^= 1;
    node.agent.desire(desired("3.0", 12), node.now);
    node.agent.step(&mut node.disk, &mut node.world, node.now).unwrap();
    let said = node.agent.progress().unwrap().message.clone().unwrap();
    assert!(said.contains("signed by 0 of the trusted keys"), "{said}");
    assert_eq!(node.runs(), "edge@new");
}

#[test]
fn a_gateway_that_is_away_is_no_fault_of_a_release() {
    let mut node = Node::new();
    node.world.away = true;
    node.agent.desire(desired("2.0", 2), node.now);
    for _ in 0..30 {
        let next = node.agent.step(&mut node.disk, &mut node.world, node.now).unwrap();
        if next != pilotlight_agent::Next::Now {
            break;
        }
    }
    let said = node.agent.progress().unwrap().message.clone().unwrap();
    assert_eq!(said, "the gateway is not ready");
    assert!(Pointer::read(&node.disk).unwrap().trial.is_none() && !node.agent.is_on_trial());
    node.world.away = false;
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    // One that stays away may need the release.
    node.world.away = true;
    let (reported, _) = node.want(desired("3.0", 3));
    assert_eq!(reported, Some(Reported::Failed(Failure::Probe)));
    assert_eq!(node.runs(), "edge@2.0");
}

#[test]
fn blobs_that_are_not_what_they_should_be() {
    let mut node = Node::new();
    // The last byte of a script is another one, whoever sends it.
    let script = node.world.blobs.values_mut().find(|bytes| bytes.starts_with(b"-- 2.0")).unwrap();
    *script.last_mut().unwrap() = b'x';
    node.agent.desire(desired("2.0", 2), node.now);
    for _ in 0..40 {
        node.agent.step(&mut node.disk, &mut node.world, node.now).unwrap();
    }
    let said = node.agent.progress().unwrap().message.clone().unwrap();
    assert!(said.contains("is not what the sources send"), "{said}");
    assert_eq!(node.runs(), "edge@1.0");
    assert!(Pointer::read(&node.disk).unwrap().denied.is_empty());
    // Once a source has it right, it is taken.
    node.world.add("2.0", 5);
    assert_eq!(node.want(desired("2.0", 3)).0, Some(Reported::Committed));
}

#[test]
fn it_waits_for_its_leave_and_takes_the_newest() {
    let mut node = Node::new();
    let stays = Desired { switch: false, ..desired("2.0", 2) };
    assert_eq!(node.want(stays.clone()).0, Some(Reported::Ready));
    assert_eq!(node.runs(), "edge@1.0");
    // A leave that came too late is none.
    let asked = node.world.asked;
    let lease = Desired { switch: true, lease: Some(1000), ..stays };
    node.agent.desire(lease.clone(), node.now);
    node.now += Duration::from_secs(2);
    settle(&mut node.agent, &mut node.disk, &mut node.world, &mut node.now).unwrap();
    assert_eq!(node.runs(), "edge@1.0");
    // What was made ready for another one is dropped.
    assert_eq!(node.want(desired("3.0", 3)).0, Some(Reported::Committed));
    assert_eq!(node.runs(), "edge@3.0");
    assert!(node.world.asked > asked);
    // In a probation, too.
    node.agent.desire(desired("2.0", 4), node.now);
    for _ in 0..12 {
        node.agent.step(&mut node.disk, &mut node.world, node.now).unwrap();
    }
    assert_eq!(node.world.runs.as_ref().unwrap().name, "edge@2.0");
    assert_eq!(node.want(desired("3.0", 5)).0, Some(Reported::Committed));
    assert_eq!(node.runs(), "edge@3.0");
    assert!(Pointer::read(&node.disk).unwrap().denied.is_empty());
}

#[test]
fn other_values_are_another_generation_of_the_same_release() {
    let mut node = Node::new();
    let mut other = desired("1.0", 2);
    other.vars.insert("cache".into(), "cache \"other\" ${env:X}".into());
    let before = node.world.asked;
    assert_eq!(node.want(other).0, Some(Reported::Committed));
    assert_eq!((node.runs().as_str(), node.world.asked), ("edge@1.0", before));
    let mut lacks = desired("2.0", 3);
    lacks.vars.clear();
    node.agent.desire(lacks, node.now);
    while node.agent.step(&mut node.disk, &mut node.world, node.now).unwrap()
        == pilotlight_agent::Next::Now
    {}
    let said = node.agent.progress().unwrap().message.clone().unwrap();
    assert!(said.contains("there is no ${fleet:cache}"), "{said}");
    assert!(Pointer::read(&node.disk).unwrap().denied.is_empty());
}

#[test]
fn a_full_disk_and_what_changed_on_it() {
    let mut node = Node::new();
    node.disk.free = 900;
    node.agent.desire(desired("2.0", 2), node.now);
    while node.agent.step(&mut node.disk, &mut node.world, node.now).unwrap()
        == pilotlight_agent::Next::Now
    {}
    let said = node.agent.progress().unwrap().message.clone().unwrap();
    assert!(said.contains("must be free on the disk, 900 are"), "{said}");
    assert_eq!(node.runs(), "edge@1.0");
    node.disk.free = 1 << 30;
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    // A file of what runs was changed by hand: it is put back, and the gateway told.
    let id = Pointer::read(&node.disk).unwrap().good.unwrap().id;
    for file in ["pilotlight.toml", "filters/auth.lua", "bin/start"] {
        node.disk.spoil(&format!("generations/{id}/{file}"));
    }
    let switches = node.world.switches;
    assert_eq!(node.want(desired("2.0", 3)).0, Some(Reported::Committed));
    assert_eq!((node.runs().as_str(), node.world.switches), ("edge@2.0", switches + 1));
    // The oldest generations go.
    assert_eq!(node.want(desired("3.0", 4)).0, Some(Reported::Committed));
    let kept = node.disk.list("generations").unwrap();
    assert_eq!(kept.iter().filter(|name| !name.contains('.')).count(), 2, "{kept:?}");
}

#[test]
fn a_controller_that_must_be_reached() {
    let mut settings = settings();
    settings.safety.confirm = Confirm::ControllerIfWasOnline;
    let mut node = Node::new();
    node.agent = Agent::new(settings.clone());
    // It never was: nobody is waited for.
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    node.agent.contact(node.now);
    let (reported, message) = node.want(desired("3.0", 3));
    assert_eq!(reported, Some(Reported::Failed(Failure::RolledBack)));
    assert!(message.contains("no controller is within reach"), "{message}");
    assert_eq!(node.runs(), "edge@2.0");
}

#[test]
fn a_launcher_counts_starts_and_exits() {
    let mut node = Node::new();
    node.agent.desire(desired("2.0", 2), node.now);
    for _ in 0..12 {
        node.agent.step(&mut node.disk, &mut node.world, node.now).unwrap();
    }
    let start =
        |disk: &mut Disk| launch::start(disk).unwrap().map(|s| (s.generation.name, s.trial));
    let (new, old) = (Some(("edge@2.0".to_owned(), true)), Some(("edge@1.0".to_owned(), false)));
    assert_eq!([start(&mut node.disk), start(&mut node.disk)], [new.clone(), new]);
    assert_eq!([start(&mut node.disk), start(&mut node.disk)], [old.clone(), old]);
    let denied = Pointer::read(&node.disk).unwrap().denied;
    assert_eq!(denied[0].failure, Failure::RolledBack);
    // The agent finds out, and says so.
    settle(&mut node.agent, &mut node.disk, &mut node.world, &mut node.now).unwrap();
    assert_eq!(node.agent.progress().unwrap().reported, Reported::Failed(Failure::RolledBack));

    let second = Duration::from_secs(1);
    let mut exits = Exits::new(3, 60 * second);
    let counted = [0, 10, 65, 66, 67].map(|at| exits.count(at * second));
    assert_eq!(counted, [false, false, false, true, true]);
    assert!(exits.pause() > Duration::from_millis(100));
    exits.clear();
    assert!(!exits.count(70 * second));
    assert_eq!(start(&mut Disk::new()), None);
}

#[test]
fn what_a_node_cannot_help_is_no_fault_of_a_release() {
    let mut node = Node::new();
    node.world.offline = true;
    let (reported, said) = node.try_for("2.0", 2);
    assert_eq!((reported, said.as_str()), (Some(Reported::Idle), "the network"));
    assert_eq!(node.runs(), "edge@1.0");
    node.world.offline = false;
    node.settle();
    assert_eq!(node.runs(), "edge@2.0");
    // It is made for another gateway, or wants a secret that is not here yet.
    node.world.add_with("3.0", 5, |release| {
        release.needs = pilotlight_fleet::version::Needs::parse(">=7");
    });
    let (_, said) = node.try_for("3.0", 3);
    assert_eq!(said, "edge@3.0 needs a gateway >=7.0, this is 0.1.0");
    node.world.add_with("3.1", 5, |release| release.secrets = vec!["token".into()]);
    let (_, said) = node.try_for("3.1", 4);
    assert_eq!(said, "edge@3.1 needs the secret \"token\"");
    assert!(Pointer::read(&node.disk).unwrap().denied.is_empty());
    node.world.secrets.push("token".into());
    node.steps(100);
    assert_eq!(node.runs(), "edge@3.1");
}
