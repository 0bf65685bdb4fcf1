#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use pilotlight_config::manifest::RateLimit as Meant;
use pilotlight_filter::Peer;
use pilotlight_filter::exchange::Request;
use pilotlight_filter::host::Shared;

use super::*;
use crate::clock::Clock;
use crate::ledger::tests::ledger;
use crate::services::dictionary;
use crate::shipped::Ground;

/// Time passes at once.
struct Hasty;

impl Services for Hasty {}

fn exchange() -> Exchange {
    let peer = Peer::new(Ipv4Addr::LOCALHOST.into(), 1, "web");
    Exchange::new(1, Rc::new(peer), Request::default())
}

#[test]
fn a_long_key_is_its_digest() {
    let of = |user: &str| {
        let mut exchange = exchange();
        exchange.request.head.fields.add(b"x-user", user.as_bytes()).unwrap();
        key(&[By::Header("x-user".to_owned())], &exchange)
    };
    assert_eq!(of("ann"), b"fann\0");
    let (one, other) = (of(&"a".repeat(KEY)), of(&"b".repeat(KEY)));
    assert!(one.len() == 32 && other.len() == 32 && one != other, "{one:?} {other:?}");
}

#[test]
fn who_waits_for_too_long_has_the_nodes_share() {
    let clock = Clock::new();
    let meant = Meant {
        count: 2,
        per_millis: 3_600_000,
        burst: 2,
        by: vec![By::All],
        status: 429,
        headers: false,
        dictionary: "limits".to_owned(),
        redis: Some("main".into()),
    };
    let dictionary: Arc<dyn Shared> = dictionary(1 << 20, clock);
    let ground = Ground {
        dictionaries: &BTreeMap::from([("limits".to_owned(), dictionary)]),
        ledgers: &[ledger()],
        old: &[],
        desk: &Default::default(),
        clock,
    };
    let limiter = Limiter::open(&"limit".into(), &meant, &ground).unwrap();
    for verdict in [Verdict::Continue, Verdict::Continue, Verdict::Reply] {
        let mut filter = RateLimit::new(limiter.clone(), Rc::new(Hasty));
        let mut exchange = exchange();
        let call = Call { phase: Phase::Request, exchange: &mut exchange, chunk: None };
        let polled = filter.poll(&mut Context::from_waker(std::task::Waker::noop()), call);
        assert!(matches!(polled, Poll::Ready(Ok(said)) if said == verdict), "{polled:?}");
    }
    let counts = &limiter.counts;
    assert_eq!(counts.alone.load(Ordering::Relaxed), 3);
    assert_eq!(counts.passed.load(Ordering::Relaxed), 2);
}
