use super::*;

fn header(kind: u8, flags: u8, length: usize) -> Header {
    Header { length, kind, flags, stream: 1 }
}

#[test]
fn only_idle_work_is_counted() {
    let table = [
        ("DATA", header(0, 0, 5), 0),
        ("empty DATA", header(0, 0, 0), 1),
        ("the end of a stream", header(0, 1, 0), 0),
        ("HEADERS", header(1, 4, 20), 0),
        ("PRIORITY", header(2, 0, 5), 1),
        ("RST_STREAM", header(3, 0, 4), 0),
        ("SETTINGS", header(4, 0, 0), 4),
        ("PING", header(6, 0, 8), 1),
        ("WINDOW_UPDATE", header(8, 0, 4), 0),
        ("unknown", header(0xfa, 0, 3), 1),
    ];
    for (name, header, points) in table {
        let mut guard = Guard::new(Clock::new());
        guard.frame(header);
        assert_eq!(guard.score, points, "{name}");
    }
}

#[test]
fn a_flood_is_seen_and_traffic_pays_for_pings() {
    let mut guard = Guard::new(Clock::new());
    (0..=CALM).for_each(|_| guard.frame(header(6, 0, 8)));
    assert!(guard.is_flooded());
    guard.pay(64 * PAID);
    assert!(!guard.is_flooded());
}

#[test]
fn resets_have_limits_of_their_own() {
    let mut guard = Guard::new(Clock::new());
    (0..PROVOKED_MAX).for_each(|_| guard.provoked());
    assert!(!guard.is_flooded());
    guard.provoked();
    assert!(guard.is_flooded());
    let mut guard = Guard::new(Clock::new());
    (0..=UNSEEN_MAX).for_each(|_| guard.unseen());
    assert!(guard.is_flooded());
    guard.seen();
    assert!(!guard.is_flooded());
}
