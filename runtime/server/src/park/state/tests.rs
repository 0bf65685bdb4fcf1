//! State is whole, or not there.

use super::*;

fn sample() -> Vec<u8> {
    written(|all| {
        all.part("a", |part| {
            part.number(7);
            part.bytes(b"seven");
        });
        all.part("b", |part| part.float(0.5));
    })
}

#[test]
fn what_is_written_is_read() {
    let bytes = sample();
    let state = State::open(bytes, true).unwrap();
    assert!(state.age < Duration::from_secs(60));
    let mut parts = state.parts();
    let (name, mut part) = parts.next().unwrap();
    assert_eq!(
        (name, part.number(), part.text(), part.number()),
        ("a", Some(7), Some("seven"), None)
    );
    let (name, mut part) = parts.next().unwrap();
    assert_eq!((name, part.float(), part.float()), ("b", Some(0.5), None));
    assert!(parts.next().is_none());
}

/// In a file that outlives the kernel there is the wall clock only, and that jumps.
#[test]
fn a_clock_that_jumped_makes_it_no_younger_than_new() {
    const YEAR: u64 = 365 * 86_400_000_000_000;
    let now = clock::wall().as_nanos() as u64;
    for (then, least, most) in [(now + YEAR, 0, 0), (now - YEAR, YEAR, YEAR + YEAR / 365)] {
        let mut body = Writer::default();
        body.number(then);
        body.number(u64::MAX);
        let bytes = [MAGIC, digest(&SHA256, &body.0).as_ref(), &body.0].concat();
        let age = State::open(bytes.clone(), false).unwrap().age.as_nanos() as u64;
        assert!((least..=most).contains(&age), "{age}");
        // The kernel's own never does; whatever it says is no harm.
        assert_eq!(State::open(bytes, true).unwrap().age, Duration::ZERO);
    }
}

#[test]
fn what_is_damaged_is_refused() {
    let bytes = sample();
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        assert!(State::open(broken, true).is_err(), "{at}");
        assert!(State::open(bytes[..at].to_vec(), true).is_err(), "{at}");
    }
}

#[test]
fn lengths_that_lie_end_it() {
    let mut all = Writer::default();
    all.number(u64::MAX);
    assert_eq!(Reader(&all.0).bytes(), None);
}
