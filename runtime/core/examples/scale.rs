//! The autoscaler beside the published rules of others, over simulated loads:
//! `cargo run --release -p pilotlight-core --example scale [SEED...]`.

use std::process::ExitCode;

#[path = "../tests/sim/mod.rs"]
mod sim;

use sim::load::KINDS;
use sim::world::Outcome;

fn main() -> ExitCode {
    let given: Result<Vec<u64>, _> = std::env::args().skip(1).map(|seed| seed.parse()).collect();
    let Ok(given) = given else {
        eprintln!("usage: scale [SEED...]");
        return ExitCode::from(2);
    };
    let seeds = if given.is_empty() { vec![1, 2, 3] } else { given };
    println!("seeds {seeds:?}: sums of all; waits in seconds\n");
    println!(
        "| load | rule | requests | starts | cold starts | waited | p50 | p99 | p99.9 | instance hours | reversals | within 2m |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for kind in KINDS {
        for rule in sim::RULES {
            let all: Vec<Outcome> =
                seeds.iter().map(|seed| sim::outcome(kind, rule, *seed)).collect();
            let sum = |number: fn(&Outcome) -> u64| all.iter().map(number).sum::<u64>();
            let most = |share| all.iter().map(|out| out.wait(share)).max().unwrap_or(0);
            let within = all.iter().map(|out| out.reversals_within(120)).max().unwrap_or(0);
            println!(
                "| {kind:?} | {rule} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {} | {within} |",
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
    }
    ExitCode::SUCCESS
}
