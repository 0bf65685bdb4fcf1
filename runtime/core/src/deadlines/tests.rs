#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Deadlines, Key};

fn fired(deadlines: &mut Deadlines, now: u64) -> Vec<Key> {
    let mut list = Vec::new();
    deadlines.expired(now, &mut |key| list.push(key));
    list
}

#[test]
fn fires_once_when_due() {
    let mut deadlines = Deadlines::default();
    let (a, b) = (deadlines.insert(), deadlines.insert());
    assert_eq!(deadlines.next_scan(), None);
    deadlines.arm(a, 10);
    deadlines.arm(b, 20);
    assert_eq!(deadlines.next_scan(), Some(10));
    assert_eq!(fired(&mut deadlines, 9), []);
    assert_eq!(fired(&mut deadlines, 10), [a]);
    assert_eq!(deadlines.next_scan(), Some(20));
    assert_eq!(fired(&mut deadlines, 25), [b]);
    assert_eq!(deadlines.next_scan(), None);
}

#[test]
fn arming_later_leaves_the_scan_and_it_finds_nothing() {
    let mut deadlines = Deadlines::default();
    let key = deadlines.insert();
    deadlines.arm(key, 10);
    deadlines.arm(key, 100);
    assert_eq!(deadlines.next_scan(), Some(10));
    assert_eq!(fired(&mut deadlines, 10), []);
    assert_eq!(deadlines.next_scan(), Some(100));
    deadlines.arm(key, 50);
    assert_eq!(deadlines.next_scan(), Some(50));
    deadlines.disarm(key);
    assert_eq!(fired(&mut deadlines, 200), []);
    assert_eq!(deadlines.next_scan(), None);
}

#[test]
fn places_of_a_burst_go() {
    let mut deadlines = Deadlines::default();
    let burst: Vec<Key> = (0..1000).map(|_| deadlines.insert()).collect();
    assert_eq!(deadlines.shrink(), 1000, "all are taken");
    let stays = burst[500];
    burst.iter().filter(|key| **key != stays).for_each(|key| deadlines.remove(*key));
    assert_eq!((deadlines.shrink(), deadlines.len()), (501, 1));
    // Former keys do nothing to those who take their places.
    let next: Vec<Key> = (0..700).map(|_| deadlines.insert()).collect();
    assert_eq!(next[0].index(), 0, "the first places are taken first");
    burst.iter().filter(|key| **key != stays).for_each(|key| deadlines.arm(*key, 1));
    assert_eq!(deadlines.next_scan(), None);
    next.iter().for_each(|key| deadlines.arm(*key, 2));
    deadlines.arm(stays, 2);
    assert_eq!(fired(&mut deadlines, 2).len(), 701);
}

#[test]
fn a_former_key_does_nothing() {
    let mut deadlines = Deadlines::default();
    let old = deadlines.insert();
    deadlines.remove(old);
    deadlines.remove(old);
    let new = deadlines.insert();
    assert_eq!((old.index(), deadlines.len()), (new.index(), 1));
    deadlines.arm(old, 1);
    assert_eq!(deadlines.next_scan(), None);
    deadlines.arm(new, 1);
    deadlines.disarm(old);
    assert_eq!(fired(&mut deadlines, 1), [new]);
    assert_ne!(deadlines.insert().index(), new.index());
}

#[test]
fn scans_are_rarer_the_more_there_are() {
    for (count, step) in [(2, 1), (63, 1), (64, 10), (999, 10), (1000, 100), (5000, 100)] {
        let mut deadlines = Deadlines::default();
        let keys: Vec<Key> = (0..count).map(|_| deadlines.insert()).collect();
        deadlines.arm(keys[0], 1000);
        deadlines.arm(keys[1], 1001);
        assert_eq!(fired(&mut deadlines, 1000), [keys[0]]);
        assert_eq!(deadlines.next_scan(), Some(1000 + step.max(1)), "{count}");
        assert_eq!(fired(&mut deadlines, 1000 + step - 1), []);
        assert_eq!(fired(&mut deadlines, 1000 + step), [keys[1]]);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert,
    Arm(usize, u64),
    Disarm(usize),
    Remove(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Insert),
        3 => (any::<usize>(), 0u64..50).prop_map(|(at, after)| Step::Arm(at, after)),
        1 => any::<usize>().prop_map(Step::Disarm),
        1 => any::<usize>().prop_map(Step::Remove),
        3 => (0u64..30).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn as_a_map_of_times(steps in prop::collection::vec(step(), 0..200)) {
        let mut deadlines = Deadlines::default();
        let mut keys: Vec<Key> = Vec::new();
        let mut model: BTreeMap<usize, u64> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Insert => {
                    let key = deadlines.insert();
                    prop_assert!(keys.iter().all(|other| other.index() != key.index()));
                    keys.push(key);
                }
                Step::Arm(at, after) if !keys.is_empty() => {
                    let key = keys[at % keys.len()];
                    deadlines.arm(key, now + after);
                    model.insert(key.index(), now + after);
                }
                Step::Disarm(at) if !keys.is_empty() => {
                    let key = keys[at % keys.len()];
                    deadlines.disarm(key);
                    model.remove(&key.index());
                }
                Step::Remove(at) if !keys.is_empty() => {
                    let key = keys.swap_remove(at % keys.len());
                    deadlines.remove(key);
                    model.remove(&key.index());
                }
                Step::Wait(time) => {
                    now += time;
                    // Every timeout that is due fires within a granule after it, and no sooner.
                    let next = deadlines.next_scan();
                    prop_assert!(model.values().all(|due| next.is_some_and(|n| n <= (*due).max(now + 10))));
                    let scans = next.is_some_and(|next| next <= now);
                    let mut list: Vec<usize> =
                        fired(&mut deadlines, now).iter().map(|key| key.index()).collect();
                    list.sort_unstable();
                    let due: Vec<usize> =
                        model.iter().filter(|(_, due)| **due <= now).map(|(at, _)| *at).collect();
                    prop_assert_eq!(&list, &if scans { due } else { vec![] });
                    model.retain(|at, _| !list.contains(at));
                }
                _ => {}
            }
        }
    }
}
