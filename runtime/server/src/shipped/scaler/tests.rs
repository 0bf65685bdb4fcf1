use super::figure::{Latencies, quantile};
use super::wire::{Message, Writer, frame, framed};
use crate::admission::At;
use crate::metrics::PLACES;

#[test]
fn messages_are_read_as_they_are_written() {
    let mut inner = Writer::default();
    inner.bytes(1, b"metric");
    inner.bytes(2, b"queue");
    let mut outer = Writer::default();
    outer.bytes(1, b"name");
    outer.whole(7, 300);
    outer.double(8, 0.5);
    outer.bytes(3, &inner.0);
    let fields = Message(&outer.0).each().unwrap();
    assert_eq!(fields, [(1, &b"name"[..]), (3, &inner.0)]);
    assert_eq!(Message(&inner.0).find(2), Some(&b"queue"[..]));
    let whole = frame(&outer.0);
    assert_eq!(framed(&whole), Some(&outer.0[..]));
    for end in 0..whole.len() {
        assert_eq!(framed(&whole[..end]), None);
    }
}

#[test]
fn whatever_comes_is_read_or_refused() {
    let mut seed = 7u64;
    for length in (0..40).cycle().take(20_000) {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        let _ = Message(&bytes).each();
        let _ = framed(&bytes);
    }
    assert_eq!(
        Message(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).each(),
        None
    );
}

#[test]
fn a_quantile_is_between_the_bounds() {
    let mut counts = [0; PLACES];
    assert_eq!(quantile(&[1.0, 2.0], &counts), 0.0);
    (counts[0], counts[1]) = (90, 10);
    assert!((quantile(&[1.0, 2.0], &counts) - 1.5).abs() < 1e-9);
    counts[2] = 900;
    assert_eq!(quantile(&[1.0, 2.0], &counts), 2.0);
}

#[test]
fn a_latency_is_of_what_came_since_it_was_asked_for() {
    let all = Latencies::default();
    let look = |at, count| {
        let mut counts = [0; PLACES];
        counts[1] = count;
        all.look((at, "app".to_owned()), (&[1.0, 2.0, 4.0], counts))
    };
    // What was counted before is not of late; a route is no upstream, whatever they are called.
    assert_eq!((look(At::Route, 100), look(At::Upstream, 0)), (0.0, 0.0));
    assert_eq!((look(At::Route, 100), look(At::Upstream, 10)), (0.0, 1950.0));
    assert_eq!(look(At::Route, 110), 1950.0);
}
