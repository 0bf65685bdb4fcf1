//! The autoscaler beside the published rules of others, over simulated loads, or over one that was recorded: a
//! CSV file whose second column counts the requests of each so many seconds.
//! `cargo run --release -p pilotlight-core --example scale [SEED... | FILE SECONDS]`.

use std::process::ExitCode;

#[path = "../tests/sim/mod.rs"]
mod sim;

use sim::dice::Dice;
use sim::load::{DAY, KINDS, count};
use sim::world::{Outcome, run};

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Result<Vec<u64>, _> = given.iter().map(|number| number.parse()).collect();
    match (numbers, &given[..]) {
        (Ok(seeds), []) if seeds.is_empty() => simulated(&[1, 2, 3]),
        (Ok(seeds), _) => simulated(&seeds),
        (Err(_), [file, seconds]) => {
            let counts = std::fs::read_to_string(file).map(|text| counts(&text));
            match (counts, seconds.parse()) {
                (Ok(counts), Ok(seconds @ 1..=86_400)) if !counts.is_empty() => {
                    recorded(&counts, seconds);
                }
                _ => return usage(),
            }
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: scale [SEED... | FILE SECONDS]");
    ExitCode::from(2)
}

fn simulated(seeds: &[u64]) {
    println!("seeds {seeds:?}: sums of all; waits in seconds\n");
    head();
    for kind in KINDS {
        for rule in sim::RULES {
            let all: Vec<Outcome> =
                seeds.iter().map(|seed| sim::outcome(kind, rule, *seed)).collect();
            row(&format!("{kind:?}"), rule, &all);
        }
    }
}

fn counts(text: &str) -> Vec<f64> {
    text.lines().filter_map(|line| line.split(',').nth(1)?.trim().parse().ok()).collect()
}

/// As it was, but of another size: the busiest hundredth has the peak of simulated loads. The first three days
/// are for learning.
fn recorded(counts: &[f64], seconds: i64) {
    let mut sorted = counts.to_vec();
    sorted.sort_by(f64::total_cmp);
    let scale = sim::PEAK / sorted[sorted.len() * 99 / 100].max(1e-9);
    let until = counts.len() as i64 * seconds;
    println!("{} days; waits in seconds\n", until / DAY);
    head();
    for rule in sim::RULES {
        let mut dice = Dice(1);
        let mut load = |second: i64| {
            let rate = counts[(second / seconds) as usize % counts.len()] * scale;
            count(&mut dice, rate)
        };
        let out = run(sim::APP, &mut load, &mut *sim::rule(rule), 1, 3 * DAY, until);
        row("recorded", rule, &[out]);
    }
}

fn head() {
    println!(
        "| load | rule | requests | starts | cold starts | waited | p50 | p99 | p99.9 | instance hours | reversals | within 2m |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
}

fn row(load: &str, rule: &str, all: &[Outcome]) {
    let sum = |number: fn(&Outcome) -> u64| all.iter().map(number).sum::<u64>();
    let most = |share| all.iter().map(|out| out.wait(share)).max().unwrap_or(0);
    let within = all.iter().map(|out| out.reversals_within(120)).max().unwrap_or(0);
    println!(
        "| {load} | {rule} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {} | {within} |",
        sum(|out| out.requests),
        sum(|out| out.starts),
        sum(|out| out.cold),
        sum(Outcome::waited),
        most(0.5),
        most(0.99),
        most(0.999),
        sum(|out| out.instance_time) as f64 / 3600.0,
        sum(|out| out.reversals.len() as u64),
    );
}
