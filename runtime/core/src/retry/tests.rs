#![allow(clippy::unwrap_used)]

use pilotlight_config::manifest::Retry;
use proptest::prelude::*;

use super::{Budget, Facts, Reason, allows, is_idempotent, refreshes};

fn policy() -> Retry {
    Retry { attempts: 2, connect: true, statuses: vec![502, 503], budget: 0.2 }
}

const FACTS: Facts =
    Facts { idempotent: true, body_sent: false, reason: Reason::Connect, attempts: 1 };

#[test]
fn by_policy() {
    for (facts, expected) in [
        (FACTS, true),
        (Facts { attempts: 2, ..FACTS }, true),
        (Facts { attempts: 3, ..FACTS }, false),
        (Facts { idempotent: false, ..FACTS }, true),
        (Facts { body_sent: true, ..FACTS }, false),
        (Facts { reason: Reason::Status(503), ..FACTS }, true),
        (Facts { reason: Reason::Status(504), ..FACTS }, false),
        (Facts { reason: Reason::Status(200), ..FACTS }, false),
        (Facts { reason: Reason::Status(503), idempotent: false, ..FACTS }, false),
        (Facts { reason: Reason::Reset, ..FACTS }, true),
        (Facts { reason: Reason::Reset, idempotent: false, ..FACTS }, false),
    ] {
        assert_eq!(allows(&policy(), &facts), expected, "{facts:?}");
    }
    let nothing = Retry { connect: false, statuses: vec![], ..policy() };
    for reason in [Reason::Connect, Reason::Reset, Reason::Status(502)] {
        assert!(!allows(&nothing, &Facts { reason, ..FACTS }));
    }
}

#[test]
fn a_connection_closed_while_it_idled() {
    let reset = Facts { reason: Reason::Reset, ..FACTS };
    assert!(refreshes(&reset, true));
    assert!(refreshes(&Facts { idempotent: false, ..reset }, false));
    assert!(!refreshes(&Facts { idempotent: false, ..reset }, true));
    assert!(!refreshes(&Facts { body_sent: true, ..reset }, true));
    assert!(!refreshes(&FACTS, false));
}

#[test]
fn methods() {
    for (method, expected) in
        [("GET", true), ("PUT", true), ("POST", false), ("PATCH", false), ("get", false)]
    {
        assert_eq!(is_idempotent(method.as_bytes()), expected, "{method}");
    }
}

#[test]
fn a_quiet_route_may_retry_three_times_in_a_window() {
    let mut budget = Budget::new(0.2);
    assert_eq!([0, 0, 5_000, 9_999].map(|now| budget.take(now)), [true, true, true, false]);
    // The first two are forgotten.
    assert_eq!([10_000, 10_000, 10_000].map(|now| budget.take(now)), [true, true, false]);
}

#[test]
fn a_busy_route_by_share() {
    let mut budget = Budget::new(0.2);
    (0..100).for_each(|_| budget.request(1_000));
    assert_eq!((0..100).filter(|_| budget.take(2_000)).count(), 20);
    assert_eq!((0..100).filter(|_| budget.take(12_000)).count(), 3);
}

proptest! {
    #[test]
    fn as_if_every_moment_were_remembered(
        steps in prop::collection::vec((0u64..3_000, any::<bool>()), 0..200),
        share in 0.0..1.0f64,
    ) {
        let mut budget = Budget::new(share);
        let (mut requests, mut retries) = (Vec::new(), Vec::new());
        let mut now = 0;
        for (wait, is_request) in steps {
            now += wait;
            let window = |times: &[u64]| {
                times.iter().filter(|time| *time / 1000 + 10 > now / 1000).count() as u64
            };
            if is_request {
                budget.request(now);
                requests.push(now);
            } else {
                let allowed = ((window(&requests) as f64 * share) as u64).max(3);
                let expected = window(&retries) < allowed;
                prop_assert_eq!(budget.take(now), expected);
                if expected {
                    retries.push(now);
                }
            }
        }
    }
}
