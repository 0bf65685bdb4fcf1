#![allow(clippy::unwrap_used)]

use super::*;

fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    let length = (payload as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 0];
    bytes.resize(9 + payload, 0);
    bytes
}

/// The score after the preface and these bytes, given `step` at a time.
fn score(bytes: &[u8], step: usize) -> u32 {
    let guard = Rc::new(Guard::new(Clock::new()));
    let mut guarded = Guarded::new(Stream::Closed, Bytes::new(), guard.clone());
    let all = [&[b'x'; PREFACE][..], bytes].concat();
    all.chunks(step).for_each(|part| guarded.count(part));
    guard.score.get()
}

#[test]
fn frames_are_found_however_they_are_cut() {
    let traffic = [frame(4, 0, 6), frame(1, 4, 40), frame(6, 0, 8), frame(0, 0, 100)].concat();
    for step in [1, 2, 7, 9, 10, 1000] {
        assert_eq!(score(&traffic, step), 5, "step {step}");
    }
}

#[test]
fn only_idle_work_is_counted() {
    let table = [
        ("DATA", frame(0, 0, 5), 0),
        ("empty DATA", frame(0, 0, 0), 1),
        ("the end of a stream", frame(0, 1, 0), 0),
        ("HEADERS", frame(1, 4, 20), 0),
        ("PRIORITY", frame(2, 0, 5), 1),
        ("RST_STREAM", frame(3, 0, 4), 0),
        ("SETTINGS", frame(4, 0, 0), 4),
        ("PING", frame(6, 0, 8), 1),
        ("WINDOW_UPDATE", frame(8, 0, 4), 0),
        ("unknown", frame(0xfa, 0, 3), 1),
    ];
    for (name, bytes, points) in table {
        assert_eq!(score(&bytes, 1000), points, "{name}");
    }
}

#[test]
fn a_flood_is_seen_and_traffic_pays_for_pings() {
    let guard = Guard::new(Clock::new());
    (0..=CALM).for_each(|_| guard.add(1));
    assert!(guard.is_flooded());
    guard.pay(64 * PAID);
    assert!(!guard.is_flooded());
}
