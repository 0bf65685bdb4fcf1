//! What nodes have seen, and whether those with a release do worse than those without.
//!
//! An error ratio is worse when chance alone would rarely give so many errors: the one-sided exact binomial
//! test, with the ratio of the others (and what is allowed on top) as the hypothesis. It fails a gate only
//! when one can be that sure; what looks worse but may be chance holds it.

use serde::{Deserialize, Serialize};

use crate::manifest::{Metric, MetricKind};
use crate::quantity::Limit;

/// Upper ends of the buckets of latency, in milliseconds; one more takes the rest.
pub const BUCKETS: [u64; 15] =
    [1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 250, 500, 1000, 2500, 10_000];

/// What a node has served since its last report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Requests.
    pub requests: u64,
    /// Those answered with 5xx, or not at all.
    pub errors: u64,
    /// How many in each of [`BUCKETS`], and above.
    pub latency: [u64; BUCKETS.len() + 1],
}

impl Sample {
    /// Adds another.
    pub fn add(&mut self, other: &Sample) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        for (mine, other) in self.latency.iter_mut().zip(other.latency) {
            *mine = mine.saturating_add(other);
        }
    }

    /// Errors per request.
    pub fn error_ratio(&self) -> f64 {
        self.errors as f64 / self.requests.max(1) as f64
    }

    /// The latency in milliseconds that this share of requests does not exceed: the upper end of its bucket.
    pub fn quantile(&self, share: f64) -> f64 {
        let all: u64 = self.latency.iter().sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (count, end) in self.latency.iter().zip(BUCKETS) {
            seen += count;
            if seen >= wanted {
                return end as f64;
            }
        }
        f64::INFINITY
    }
}

/// What a gate makes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// All is well.
    Pass,
    /// Something is worse: what, with its numbers.
    Fail(String),
    /// Nothing can be said: why.
    Inconclusive(String),
}

/// Whether `trial`, who have the release, do as well as `others`, and well enough.
pub fn judge(metrics: &[Metric], requests: u64, trial: &Sample, others: &Sample) -> Verdict {
    let mut verdict = Verdict::Pass;
    for metric in metrics {
        match judge_one(metric, requests, trial, others) {
            Verdict::Pass => {}
            fail @ Verdict::Fail(_) => return fail,
            open => verdict = open,
        }
    }
    verdict
}

fn judge_one(metric: &Metric, requests: u64, trial: &Sample, others: &Sample) -> Verdict {
    let few = |sample: &Sample, who: &str| {
        (sample.requests < requests).then(|| {
            let message = format!("{} requests of {who}, {requests} are needed", sample.requests);
            Verdict::Inconclusive(message)
        })
    };
    if let Some(few) = few(trial, "nodes with the release") {
        return few;
    }
    let others = metric.worse_by.map(|worse| (worse, others));
    if let Some(few) = others.and_then(|(_, others)| few(others, "nodes without it")) {
        return few;
    }
    if metric.kind == MetricKind::ErrorRatio {
        let max = match metric.max {
            Some(Limit::Share(share)) => Some(share),
            _ => None,
        };
        let allowed = others.map(|(worse, others)| worse.than(others.error_ratio()));
        for allowed in [max, allowed].into_iter().flatten() {
            let chance = at_least(trial.errors, trial.requests, allowed);
            let numbers = || {
                format!(
                    "error_ratio is {:.3} % ({} of {}), {:.3} % is allowed",
                    trial.error_ratio() * 100.0,
                    trial.errors,
                    trial.requests,
                    allowed * 100.0
                )
            };
            if trial.error_ratio() > allowed {
                return match chance <= 1.0 - metric.confidence {
                    true => Verdict::Fail(numbers()),
                    false => Verdict::Inconclusive(format!("{}; it may be chance", numbers())),
                };
            }
        }
        return Verdict::Pass;
    }
    let (name, share) = match metric.kind {
        MetricKind::LatencyP50 => ("latency_p50", 0.5),
        _ => ("latency_p99", 0.99),
    };
    let max = match metric.max {
        Some(Limit::Time(time)) => Some(time.as_secs_f64() * 1000.0),
        _ => None,
    };
    let allowed = others.map(|(worse, others)| worse.than(others.quantile(share)));
    let value = trial.quantile(share);
    match [max, allowed].into_iter().flatten().find(|allowed| value > *allowed) {
        Some(allowed) => {
            Verdict::Fail(format!("{name} is {value:.0} ms, {allowed:.0} ms are allowed"))
        }
        None => Verdict::Pass,
    }
}

/// The chance of at least `hits` hits in `tries` tries of chance `p`: the upper tail of the binomial
/// distribution, which is the incomplete beta function I_p(hits, tries - hits + 1).
pub fn at_least(hits: u64, tries: u64, p: f64) -> f64 {
    if hits == 0 || p >= 1.0 {
        return 1.0;
    }
    if hits > tries || p <= 0.0 {
        return 0.0;
    }
    beta(hits as f64, (tries - hits + 1) as f64, p)
}

/// The regularised incomplete beta function, by its continued fraction (Lentz).
fn beta(a: f64, b: f64, x: f64) -> f64 {
    // The fraction converges fast on this side of the mean, the other side is its complement.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(b, a, 1.0 - x);
    }
    const TINY: f64 = 1e-300;
    let front =
        (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let floor = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / floor(1.0 - (a + b) * x / (a + 1.0));
    let mut product = d;
    for step in 1..100_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / floor(1.0 + term * d);
            c = floor(1.0 + term / c);
            change = c * d;
            product *= change;
        }
        if (change - 1.0f64).abs() < 1e-12 {
            break;
        }
    }
    (front * product).clamp(0.0, 1.0)
}

/// The logarithm of the gamma function (Lanczos, g = 7), from 1 on.
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let mut sum = 0.999_999_999_999_809_9;
    for (term, at) in TERMS.iter().zip(1..) {
        sum += term / (x + f64::from(at));
    }
    let t = x + 7.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests;
