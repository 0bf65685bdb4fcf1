//! A simulated application under simulated loads, for the autoscaler: time is a number.

use std::time::Duration;

use pilotlight_config::manifest;

pub(crate) mod dice;
pub(crate) mod load;
pub(crate) mod rules;
pub(crate) mod world;

use load::{DAY, HOUR, Kind, Load};
use rules::{Hpa, Kpa, Ours, Rule};
use world::{App, Outcome, run};

pub(crate) const APP: App = App { concurrency: 8, start: 8, service: 4 };

/// Requests a second at the peak.
pub(crate) const PEAK: f64 = 8.0;

/// Each rule, by its name.
pub(crate) const RULES: [&str; 4] = ["knative", "hpa", "ours", "ours+predict"];

/// The manifest's defaults, for an application that may have many instances.
pub(crate) fn scale(predict: bool) -> manifest::Scale {
    manifest::Scale {
        min: 0,
        max: 50,
        concurrency: APP.concurrency,
        target: 0.7,
        window: Duration::from_secs(60),
        panic_window: Duration::from_secs(6),
        tolerance: 0.1,
        cooldown: Duration::from_secs(120),
        idle: Duration::from_secs(300),
        surge: None,
        shrink: 0.5,
        schedule: Vec::new(),
        predict,
    }
}

/// Whether a load needs days to be learnt.
fn days(kind: Kind) -> (i64, i64) {
    match kind {
        Kind::Day | Kind::Uneven => (3 * DAY, 10 * DAY),
        Kind::Week => (14 * DAY, 21 * DAY),
        Kind::Hourly => (DAY, 3 * DAY),
        _ => (HOUR, 13 * HOUR),
    }
}

/// A rule, by its name.
pub(crate) fn rule(name: &str) -> Box<dyn Rule> {
    match name {
        "knative" => Box::new(Kpa::new(APP.concurrency, 50)),
        "hpa" => Box::new(Hpa::new(APP.concurrency, 50)),
        "ours" => Box::new(Ours::new(&scale(false))),
        _ => Box::new(Ours::new(&scale(true))),
    }
}

/// A load under a rule.
pub(crate) fn outcome(kind: Kind, name: &str, seed: u64) -> Outcome {
    let (from, until) = days(kind);
    let mut load = Load::new(kind, PEAK, seed);
    run(APP, &mut |second| load.arrivals(second), &mut *rule(name), seed, from, until)
}
