//! What the autoscaler promises, over simulated loads and several seeds.
//! `cargo run --release -p pilotlight-core --example scale` prints all of it as a table.

mod sim;

use sim::load::{KINDS, Kind};
use sim::world::Outcome;

const SEEDS: [u64; 3] = [11, 12, 13];

/// Seconds, as in `sim::scale`.
const COOLDOWN: i64 = 120;

fn show(kind: Kind, rule: &str, seed: u64, out: &Outcome) {
    println!(
        "{kind:?} {rule} seed {seed}: {} requests, {} starts, {} cold, {} waited, p99 {} s, {:.1} hours, {} reversals",
        out.requests,
        out.starts,
        out.cold,
        out.waited(),
        out.wait(0.99),
        out.instance_time as f64 / 3600.0,
        out.reversals.len(),
    );
}

#[test]
fn nothing_flaps() {
    for kind in KINDS {
        for rule in ["ours", "ours+predict"] {
            let out = sim::outcome(kind, rule, SEEDS[0]);
            show(kind, rule, SEEDS[0], &out);
            for cooldowns in [1, 2, 4, 8, 16] {
                let most = out.reversals_within(cooldowns * COOLDOWN);
                assert!(most as i64 <= cooldowns + 1, "{kind:?} {rule}: {most} in {cooldowns}");
            }
        }
    }
}

#[test]
fn what_comes_each_day_is_not_waited_for() {
    for kind in [Kind::Day, Kind::Uneven] {
        for seed in SEEDS {
            let plain = sim::outcome(kind, "ours", seed);
            let ahead = sim::outcome(kind, "ours+predict", seed);
            show(kind, "ours", seed, &plain);
            show(kind, "ours+predict", seed, &ahead);
            // Bursts and a late rise cannot be foretold.
            let left = if kind == Kind::Day { 0.2 } else { 0.4 };
            assert!(plain.cold >= 5, "{kind:?} {seed}");
            assert!(ahead.cold as f64 <= left * plain.cold as f64, "{kind:?} {seed}");
            let time = ahead.instance_time as f64 / plain.instance_time as f64;
            assert!(time <= 1.15, "{kind:?} {seed}: {time}");
        }
    }
}

#[test]
fn others_make_more_wait_or_turn_more_often() {
    let all = sim::RULES.map(|rule| (rule, sim::outcome(Kind::Day, rule, SEEDS[0])));
    all.iter().for_each(|(rule, out)| show(Kind::Day, rule, SEEDS[0], out));
    let [(_, knative), (_, hpa), (_, ours), (_, ahead)] = &all;
    assert!(ours.reversals.len() * 2 < knative.reversals.len());
    assert!(ours.waited() < knative.waited() && ahead.waited() < hpa.waited());
}
