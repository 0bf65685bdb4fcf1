//! Ten thousand power cuts, spread over every operation on the disk: after each the node starts with a release that
//! is whole and signed, and in the end it runs what it should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use pilotlight_agent::{Agent, Pointer};
use pilotlight_fleet::rollout::Failure;
use support::disk::{Chance, Disk};
use support::{Made, boots, desired, node, root, settings, settle};

const CUTS: u64 = 10_000;
/// What is wanted of a node that runs 1.0: one release after the other.
const STORIES: &[&[&str]] = &[
    &["2.0"],
    &["bad"],
    &["crash"],
    &["2.0", "3.0"],
    &["crash", "2.0", "1.0"],
    &["anew", "moved"],
    &["anew-crash", "2.0"],
];

/// Lives through a story, with cuts; returns how many operations it took, and at what the first cut came.
fn live(
    story: &[&str],
    disk: &mut Disk,
    world: &mut Made,
    mut chance: Chance,
) -> (u64, Vec<String>) {
    let mut now = Duration::from_secs(10);
    let mut cuts = Vec::new();
    let mut agent = Agent::new(settings());
    let mut at = 0;
    while at < story.len() {
        agent.desire(desired(story[at], at as u64 + 2), now);
        if settle(&mut agent, disk, world, &mut now).is_ok() && !disk.is_dark() {
            at += 1;
            continue;
        }
        // Dark, and on again, until the node has started.
        loop {
            cuts.push(disk.died.clone().expect("an agent that fails while there is power"));
            disk.reboot(&mut chance);
            // It may fail again soon, three times at most.
            if cuts.len() < 4 && chance.below(2) == 0 {
                disk.cut = Some(disk.count + 1 + chance.below(60));
            }
            if boots(disk, world).is_some() {
                break;
            }
        }
        now = Duration::from_secs(10);
        agent = Agent::new(settings());
    }
    disk.cut = None;
    (disk.count, cuts)
}

#[test]
fn no_power_cut_leaves_a_node_dark_or_on_half_a_release() {
    let mut world = Made::default();
    for version in ["1.0", "2.0", "3.0", "bad", "crash", "anew", "moved", "anew-crash"] {
        world.add(version, 1);
    }
    let mut begun = node(&mut world, "1.0");
    // And from now on another key signs.
    world.roots = [(2, root(2, &[9, 10])), (3, root(3, &[10]))].into();
    begun.count = 0;
    let lengths: Vec<u64> = STORIES
        .iter()
        .map(|story| live(story, &mut begun.clone(), &mut world.clone(), Chance(0)).0)
        .collect();
    let mut spread: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..CUTS {
        let told = std::panic::catch_unwind(|| {
            let story = usize::try_from(seed).unwrap() % STORIES.len();
            let (mut disk, mut world) = (begun.clone(), world.clone());
            disk.cut = Some(1 + (seed / STORIES.len() as u64) % lengths[story]);
            let (_, cuts) = live(STORIES[story], &mut disk, &mut world, Chance(seed));
            assert!(!cuts.is_empty());
            ends_well(STORIES[story], &mut disk, &mut world, cuts.len());
            cuts
        });
        let Ok(cuts) = told else { panic!("seed {seed} (above is why)") };
        for cut in cuts {
            *spread.entry(cut).or_default() += 1;
        }
    }
    println!("cuts: {spread:#?}");
    for wanted in [
        "write pointer.0",
        "write pointer.1",
        "sync pointer.0",
        "sync pointer.1",
        "append blobs.part",
        "append blobs",
        "write roots.part",
        "sync roots.part",
        "rename roots",
        "sync_folder roots",
        "sync blobs.part",
        "rename blobs",
        "sync_folder blobs",
        "folder generations",
        "folder generations.part",
        "link generations",
        "write generations",
        "program generations",
        "sync generations",
        "sync_folder generations.part",
        "rename generations",
        "sync_folder generations",
        "remove generations",
        "remove blobs",
    ] {
        assert!(spread.contains_key(wanted), "no cut at {wanted:?}: {spread:#?}");
    }
}

fn ends_well(story: &[&str], disk: &mut Disk, world: &mut Made, cuts: usize) {
    let pointer = Pointer::read(disk).unwrap();
    assert!(pointer.trial.is_none(), "{pointer:?}");
    let good = pointer.good.clone().unwrap();
    assert_eq!(world.runs.as_ref(), Some(&good), "the gateway runs something else");
    // Each was committed, or given up for its own fault or that of the power.
    let given_up = |version: &str| {
        let name = ("edge".to_owned(), version.to_owned());
        let digest = pilotlight_fleet::release::digest(&world.releases[&name]).unwrap();
        pointer.denies(&digest).map(|denied| denied.failure)
    };
    for version in story {
        match (*version, given_up(version)) {
            ("bad", Some(Failure::Rejected)) => {}
            ("crash" | "anew-crash", Some(Failure::CrashLoop)) => {}
            // Two starts within a probation, and the second cut there ended it.
            (_, Some(Failure::RolledBack)) => assert!(cuts >= 2, "rolled back after {cuts} cuts"),
            ("2.0" | "3.0" | "1.0" | "anew" | "moved", None) => {}
            other => panic!("{other:?}: {pointer:?}"),
        }
    }
    let last = story.last().unwrap();
    if !matches!(*last, "bad" | "crash") && given_up(last).is_none() {
        assert_eq!(good.name, format!("edge@{last}"));
    }
    assert!(!["edge@bad", "edge@crash", "edge@anew-crash"].contains(&good.name.as_str()));
    // The process is as new as it must be, and no key of before signs any more.
    assert_eq!(world.starts, pointer.starts);
    assert_eq!(pointer.root.unwrap().version, 3);
    assert_eq!(pointer.time, 1_750_000_000);
    assert!(boots(disk, world).is_some());
}
