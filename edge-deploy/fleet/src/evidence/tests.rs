use proptest::prelude::*;

use super::*;
use crate::quantity::Worse;

fn errors(requests: u64, errors: u64) -> Sample {
    Sample { requests, errors, ..Sample::default() }
}

fn metric(worse_by: Option<Worse>, max: Option<Limit>) -> Metric {
    Metric { kind: MetricKind::ErrorRatio, worse_by, max, confidence: 0.95 }
}

/// The tail, summed term by term.
fn slowly(hits: u64, tries: u64, p: f64) -> f64 {
    let term = |k: u64| {
        let choose =
            |n: u64, k: u64| (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum::<f64>();
        (choose(tries, k) + k as f64 * p.ln() + (tries - k) as f64 * (1.0 - p).ln()).exp()
    };
    (hits..=tries).map(term).sum()
}

proptest! {
    #[test]
    fn the_tail_is_the_sum_of_its_terms(tries in 1u64..200, hits in 0u64..200, p in 0.001f64..0.999) {
        let hits = hits.min(tries);
        let (quick, slow) = (at_least(hits, tries, p), slowly(hits, tries, p).min(1.0));
        prop_assert!((quick - slow).abs() < 1e-7, "{quick} {slow}");
    }

    #[test]
    fn more_errors_are_less_likely(tries in 1u64..10_000_000, hits in 0u64..1000, p in 0.0f64..0.2) {
        let hits = hits.min(tries - 1);
        let (less, more) = (at_least(hits, tries, p), at_least(hits + 1, tries, p));
        prop_assert!(more <= less + 1e-9 && (0.0..=1.0).contains(&more), "{less} {more}");
    }
}

#[test]
fn known_tails() {
    // Binomial(10, 0.5): P(X >= 8) = 56 / 1024.
    assert!((at_least(8, 10, 0.5) - 56.0 / 1024.0).abs() < 1e-12);
    assert_eq!(
        (at_least(0, 10, 0.1), at_least(11, 10, 0.1), at_least(1, 10, 0.0)),
        (1.0, 0.0, 0.0)
    );
    // A thousand million requests are no trouble.
    assert!(at_least(1_010_000, 1_000_000_000, 0.001) < 1e-6);
}

#[test]
fn a_gate_passes_fails_or_holds() {
    let worse = [metric(Some(Worse::Points(0.005)), None)];
    let control = errors(100_000, 100);
    let verdict = |trial: &Sample| judge(&worse, 1000, trial, &control);
    assert_eq!(verdict(&errors(10_000, 10)), Verdict::Pass);
    // Much worse than 0.6 %.
    assert!(matches!(verdict(&errors(10_000, 200)), Verdict::Fail(_)));
    // A little worse: it may be chance.
    let Verdict::Inconclusive(why) = verdict(&errors(1000, 7)) else { panic!() };
    assert!(why.contains("chance"), "{why}");
    // Too few, on either side.
    assert!(matches!(verdict(&errors(999, 0)), Verdict::Inconclusive(_)));
    assert!(matches!(judge(&worse, 1000, &control, &errors(5, 0)), Verdict::Inconclusive(_)));
    // A limit needs no others.
    let max = [metric(None, Some(Limit::Share(0.01)))];
    assert_eq!(judge(&max, 1000, &errors(5000, 20), &Sample::default()), Verdict::Pass);
    assert!(matches!(judge(&max, 1000, &errors(5000, 100), &Sample::default()), Verdict::Fail(_)));
    // What fails counts more than what holds.
    let both = [worse[0].clone(), max[0].clone()];
    assert!(matches!(judge(&both, 1000, &errors(5000, 500), &errors(5, 0)), Verdict::Fail(_)));
    assert_eq!(judge(&[], 1000, &Sample::default(), &Sample::default()), Verdict::Pass);
}

#[test]
fn latency_is_compared_by_quantiles() {
    let sample = |bucket: usize, slow: u64| {
        let mut sample = errors(10_000, 0);
        sample.latency[bucket] = 10_000 - slow;
        sample.latency[12] = slow;
        sample
    };
    assert_eq!((sample(3, 0).quantile(0.5), sample(3, 200).quantile(0.99)), (10.0, 1000.0));
    let p99 =
        |worse_by, max| [Metric { kind: MetricKind::LatencyP99, worse_by, max, confidence: 0.95 }];
    let share = p99(Some(Worse::Share(0.2)), None);
    assert_eq!(judge(&share, 1, &sample(3, 50), &sample(3, 0)), Verdict::Pass);
    let Verdict::Fail(why) = judge(&share, 1, &sample(3, 200), &sample(3, 0)) else { panic!() };
    assert_eq!(why, "latency_p99 is 1000 ms, 12 ms are allowed");
    let limit = p99(None, Some(Limit::Time(std::time::Duration::from_millis(250))));
    assert!(matches!(judge(&limit, 1, &sample(3, 200), &Sample::default()), Verdict::Fail(_)));
}
