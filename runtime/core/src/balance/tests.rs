#![allow(clippy::unwrap_used)]

use pilotlight_config::manifest::Balance::{self, LeastRequest, Random, RoundRobin};
use proptest::prelude::*;

use super::Balancer;

fn turns(weights: &[u32], exclude: &[usize], count: u64) -> Vec<usize> {
    let mut balancer = Balancer::new(&RoundRobin, weights);
    (0..count).filter_map(|seed| balancer.pick(exclude, |_| 0, seed)).collect()
}

#[test]
fn round_robin() {
    for (weights, exclude, expected) in [
        (&[1, 1, 1][..], &[][..], &[0, 1, 2, 0, 1, 2][..]),
        // The example in nginx's source.
        (&[5, 1, 1], &[], &[0, 0, 1, 0, 2, 0, 0]),
        (&[1, 0, 1], &[], &[0, 2, 0, 2]),
        (&[1, 1, 1], &[1], &[0, 2, 0, 2]),
        (&[1, 2, 1], &[1], &[0, 2, 0, 2]),
        (&[1], &[], &[0, 0]),
        (&[1], &[0], &[]),
        (&[0], &[], &[]),
        (&[0, 0], &[], &[]),
        (&[1, 1], &[0, 1], &[]),
        (&[], &[], &[]),
    ] {
        let count = expected.len().max(1) as u64;
        assert_eq!(turns(weights, exclude, count), expected, "{weights:?} without {exclude:?}");
    }
}

#[test]
fn workers_begin_at_different_endpoints() {
    for weights in [&[1, 1, 1], &[3, 2, 1]] {
        let first = |seed| {
            let mut balancer = Balancer::new(&RoundRobin, weights).starting_at(seed);
            balancer.pick(&[], |_| 0, 0).unwrap()
        };
        assert!((0..3).any(|seed| first(seed) != first(0)));
    }
}

fn shares(kind: Balance, weights: &[u32], active: impl Fn(usize) -> usize) -> Vec<f64> {
    let mut balancer = Balancer::new(&kind, weights);
    let mut counts = vec![0.0; weights.len()];
    for seed in 0..20_000 {
        counts[balancer.pick(&[], &active, seed).unwrap()] += 1.0 / 20_000.0;
    }
    counts
}

#[test]
fn random_and_idle_least_request_share_by_weight() {
    for kind in [Random, LeastRequest] {
        let shares = shares(kind, &[1, 2, 5], |_| 0);
        for (share, expected) in shares.iter().zip([0.125, 0.25, 0.625]) {
            assert!((share - expected).abs() < 0.02, "{shares:?}");
        }
    }
}

#[test]
fn least_request_avoids_the_busy() {
    let even = shares(LeastRequest, &[1, 1, 1, 1], |index| if index == 0 { 10 } else { 1 });
    assert!(even[0] < 0.001, "{even:?}");
    // Ten requests weigh less on ten times the weight.
    let uneven = shares(LeastRequest, &[10, 1], |index| [9, 1][index]);
    assert!(uneven[0] > 0.999, "{uneven:?}");
}

proptest! {
    #[test]
    fn picks_what_may_be_picked(
        weights in prop::collection::vec(0u32..5, 0..12),
        exclude in prop::collection::vec(0usize..12, 0..12),
        kind in prop_oneof![Just(RoundRobin), Just(Random), Just(LeastRequest)],
        seed: u64,
    ) {
        let mut balancer = Balancer::new(&kind, &weights).starting_at(seed);
        let may = |index: usize| weights[index] > 0 && !exclude.contains(&index);
        for seed in seed..seed.saturating_add(20) {
            match balancer.pick(&exclude, |index| index, seed) {
                Some(index) => prop_assert!(may(index)),
                None => prop_assert!(!(0..weights.len()).any(may)),
            }
        }
    }

    #[test]
    fn a_round_gives_each_its_weight(weights in prop::collection::vec(0u32..20, 1..10), seed: u64) {
        let total = weights.iter().sum::<u32>() as usize;
        let mut balancer = Balancer::new(&RoundRobin, &weights).starting_at(seed);
        let mut counts = vec![0; weights.len()];
        for _ in 0..total {
            counts[balancer.pick(&[], |_| 0, 0).unwrap()] += 1;
        }
        prop_assert_eq!(counts, weights);
    }
}
