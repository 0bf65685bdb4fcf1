#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use pilotlight_config::manifest;

use super::{Breaker, Exhausted, Limit};

const LIMITS: manifest::Breaker =
    manifest::Breaker { max_connections: 2, max_requests: 3, max_pending: 0 };

#[test]
fn as_many_as_allowed_then_none_until_one_is_back() {
    for limit in [Limit::Connections, Limit::Requests, Limit::Pending] {
        let breaker = Breaker::new(&LIMITS);
        let mut permits: Vec<_> =
            (0..breaker.max(limit)).map(|_| breaker.acquire(limit).unwrap()).collect();
        assert_eq!(breaker.used(limit), breaker.max(limit));
        assert_eq!(breaker.acquire(limit).unwrap_err(), Exhausted { limit });
        assert_eq!(breaker.refused(limit), 1);
        if permits.pop().is_some() {
            drop(breaker.acquire(limit).unwrap());
        }
        drop(permits);
        assert_eq!(breaker.used(limit), 0);
    }
}

#[test]
fn says_which() {
    let error = Breaker::new(&LIMITS).acquire(Limit::Pending).unwrap_err();
    assert_eq!(error.to_string(), "the upstream's max_pending is reached");
}

#[test]
fn threads_never_have_more_than_allowed() {
    let breaker = Breaker::new(&LIMITS);
    let (out, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    if let Ok(permit) = breaker.acquire(Limit::Requests) {
                        most.fetch_max(out.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        out.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                }
            });
        }
    });
    assert!((1..=3).contains(&most.into_inner()));
    assert_eq!(breaker.used(Limit::Requests), 0);
}
