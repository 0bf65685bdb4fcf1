//! Whom a node believes, and for how long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use pilotlight_agent::{Agent, Anchor, Files as _, Next, Pointer};
use pilotlight_fleet::release::{BUILT, Root, Trust};
use pilotlight_fleet::rollout::Reported;
use support::{Node, desired, key, root, settings, trust};

/// A release that these keys have signed.
fn add(node: &mut Node, version: &str, keys: &[u8]) {
    let name = ("edge".to_owned(), version.to_owned());
    node.world.add(version, 5);
    let (release, _) = pilotlight_fleet::release::unverified(&node.world.releases[&name]).unwrap();
    let keys: Vec<_> = keys.iter().map(|seed| key(*seed)).collect();
    node.world.releases.insert(name, release.sign_at(&keys, 1_760_000_000).unwrap());
}

#[test]
fn a_chain_of_roots_is_followed_and_no_key_of_before_signs_any_more() {
    let mut node = Node::new();
    add(&mut node, "old-key", &[9]);
    add(&mut node, "new-key", &[10]);
    let (_, said) = node.try_for("new-key", 2);
    assert!(said.contains("signed by 0 of the trusted keys"), "{said}");
    // Key 10 comes with root 2, key 9 goes with root 3.
    node.world.roots = [(2, root(2, &[9, 10])), (3, root(3, &[10]))].into();
    assert_eq!(node.want(desired("new-key", 3)).0, Some(Reported::Committed));
    let (_, said) = node.try_for("old-key", 4);
    assert!(said.contains("signed by 0 of the trusted keys"), "{said}");
    // After another start, without a network, it is the same.
    node.agent = Agent::new(settings());
    node.world.roots.clear();
    let (_, said) = node.try_for("old-key", 5);
    assert!(said.contains("signed by 0 of the trusted keys"), "{said}");
    assert_eq!(Pointer::read(&node.disk).unwrap().root.unwrap().version, 3);
    assert_eq!(node.runs(), "edge@new-key");
}

#[test]
fn roots_are_not_replayed_and_what_was_lost_is_not_forgotten() {
    let mut node = Node::new();
    node.world.roots = [(2, root(2, &[9, 10])), (3, root(3, &[10]))].into();
    add(&mut node, "new-key", &[10]);
    assert_eq!(node.want(desired("new-key", 2)).0, Some(Reported::Committed));
    // A thief has one root key, and both release keys: nothing follows from that.
    let theirs = Trust { threshold: 1, ..trust(&[1, 66]) };
    let theirs = Root { version: 4, expires: None, root: theirs, release: trust(&[66]) };
    node.world.roots.insert(4, theirs.sign(&[key(1), key(66), key(9), key(10)], 0).unwrap());
    add(&mut node, "stolen", &[66]);
    let warns = |node: &Node, what: &str| {
        let warnings = node.agent.warnings();
        assert!(warnings.iter().any(|said| said.contains(what)), "{warnings:?}");
    };
    let (_, said) = node.try_for("stolen", 3);
    assert!(said.contains("signed by 0 of the trusted keys"), "{said}");
    warns(&node, "mirror: root 4: signed by 1 of the trusted keys, 2 are needed");
    // An older root in the place of the next one is none.
    node.world.roots.insert(4, root(2, &[9]));
    node.try_for("stolen", 4);
    warns(&node, "this is root 2, and after 3 comes 4");
    // Disk and mirror have lost the newest: then nothing new is taken, and what was here may come back.
    node.world.roots = [(2, root(2, &[9, 10]))].into();
    node.disk.spoil("roots/3");
    node.agent = Agent::new(settings());
    add(&mut node, "old-key", &[9]);
    let (_, said) = node.try_for("old-key", 5);
    assert!(said.contains("root 3 was followed before"), "{said}");
    assert_eq!(node.want(desired("1.0", 6)).0, Some(Reported::Committed));
    // Where it is found again, all is well.
    node.world.roots.insert(3, root(3, &[10]));
    assert_eq!(node.want(desired("new-key", 7)).0, Some(Reported::Committed));
    assert!(node.disk.read("roots/3", 1 << 16).is_ok());
}

#[test]
fn a_source_with_rubbish_for_a_root_keeps_nobody_from_anything() {
    let mut node = Node::new();
    for (serial, rubbish) in [(2, b"<html>not found</html>".to_vec()), (4, Vec::new())] {
        // Nothing is known to come: what is signed by now is taken.
        let version = if serial == 2 { "2.0" } else { "3.0" };
        let next = serial / 2 + 1;
        node.world.roots.insert(next, rubbish);
        assert_eq!(node.want(desired(version, serial)).0, Some(Reported::Committed));
        let said = node.agent.warnings().join("; ");
        assert!(said.contains(&format!("mirror: root {next}: it is not written")), "{said}");
        // Another source has the next one, and it is followed.
        node.world.origin.insert(next, root(next, &[9, 10]));
        let name = format!("with-{next}");
        add(&mut node, &name, &[10]);
        assert_eq!(node.want(desired(&name, serial + 1)).0, Some(Reported::Committed));
        assert_eq!(Pointer::read(&node.disk).unwrap().root.unwrap().version, next);
    }
}

#[test]
fn an_expired_root_is_said_and_stops_nothing() {
    let mut node = Node::new();
    let expires = 2_000_000_000;
    for (wall, warns) in [
        (expires - 90 * 86_400, None),
        (expires - 5 * 86_400, Some("root 1 expires in 5 days")),
        (expires + 86_400, Some("root 1 expired 1 days ago")),
    ] {
        node.world.wall = wall;
        node.world.past = wall - 1000;
        node.agent = Agent::new(settings());
        let serial = u64::try_from(wall).unwrap();
        let version = if node.runs() == "edge@2.0" { "3.0" } else { "2.0" };
        assert_eq!(node.want(desired(version, serial)).0, Some(Reported::Committed));
        let said = node.agent.warnings().join("; ");
        assert!(warns.is_none_or(|warns| said.contains(warns)), "{said}");
        assert!(warns.is_some() || !said.contains("root"), "{said}");
    }
    // A newer one ends it, and was found by an agent that had nothing else to do.
    let next = Root {
        version: 2,
        expires: Some(expires * 2),
        root: Trust { threshold: 2, ..trust(&[1, 2]) },
        release: trust(&[9]),
    };
    node.world.roots.insert(2, next.sign(&[key(1), key(2)], 1_900_000_000).unwrap());
    node.idle(700);
    assert_eq!(node.agent.warnings(), [""; 0]);
    assert_eq!(Pointer::read(&node.disk).unwrap().root.unwrap().version, 2);
}

#[test]
fn a_clock_that_is_years_off_is_said_and_judged_by_what_was_signed() {
    let mut node = Node::new();
    node.world.wall = 0;
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    // What was signed latest is past, and sources judge certificates by it.
    assert_eq!(node.world.past, 1_750_000_000);
    assert_eq!(Pointer::read(&node.disk).unwrap().time, 1_750_000_000);
    node.idle(700);
    assert!(node.agent.warnings()[0].contains("clock is behind"));
    // Nor does a clock of the far future keep a node from anything.
    node.world.wall = 1_750_000_000 + 10 * 365 * 86_400;
    assert_eq!(node.want(desired("3.0", 3)).0, Some(Reported::Committed));
    assert!(node.agent.warnings().iter().any(|said| said.contains("years ahead")));
}

#[test]
fn a_key_that_signs_the_end_of_time_moves_no_clock_to_it() {
    let mut node = Node::new();
    node.world.wall = BUILT + 30 * 86_400;
    let name = ("edge".to_owned(), "2.0".to_owned());
    let (release, _) = pilotlight_fleet::release::unverified(&node.world.releases[&name]).unwrap();
    node.world.releases.insert(name, release.sign_at(&[key(9)], i64::MAX).unwrap());
    assert_eq!(node.want(desired("2.0", 2)).0, Some(Reported::Committed));
    // What sources' certificates are judged by stays what the clock says.
    node.idle(700);
    assert_eq!(node.world.past, BUILT + 7 * 86_400);
    assert_eq!(node.agent.warnings(), [""; 0]);
    assert_eq!(node.want(desired("3.0", 3)).0, Some(Reported::Committed));
}

#[test]
fn keys_without_a_root_are_what_they_are() {
    let mut node = Node::new();
    let mut settings = settings();
    settings.anchor = Anchor::Keys(trust(&[9]));
    node.agent = Agent::new(settings);
    node.world.roots = [(2, root(2, &[10]))].into();
    add(&mut node, "old-key", &[9]);
    assert_eq!(node.want(desired("old-key", 2)).0, Some(Reported::Committed));
    assert_eq!(Pointer::read(&node.disk).unwrap().root.map(|root| root.version), None);
    // One that cannot be used is said.
    let mut settings = support::settings();
    settings.anchor = Anchor::Root(b"pilotlight-root 1\n\n{}".to_vec());
    node.agent = Agent::new(settings);
    node.agent.desire(desired("2.0", 3), node.now);
    let next = node.agent.step(&mut node.disk, &mut node.world, node.now).unwrap();
    assert_ne!(next, Next::Settled);
}
