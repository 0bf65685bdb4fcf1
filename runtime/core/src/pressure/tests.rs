use super::{Gauge, in_use, limit, stalled};

#[test]
fn the_tighter_limit_counts() {
    let table = [
        ("max\n", "max\n", None),
        ("100\n", "max\n", Some(100)),
        ("100\n", "80\n", Some(80)),
        ("", "", None),
        ("0\n", "max\n", None),
    ];
    for (max, high, wanted) in table {
        assert_eq!(limit(max, high), wanted, "{max:?} {high:?}");
    }
}

#[test]
fn pages_of_files_are_not_in_use() {
    let stat = "anon 600\nfile 300\ninactive_file 200\nactive_file 50\nshmem 50\n";
    assert_eq!(in_use("1000\n", stat), Some(750));
    assert_eq!(in_use("1000\n", ""), Some(1000));
    assert_eq!(in_use("100\n", stat), Some(0));
    assert_eq!(in_use("", stat), None);
}

#[test]
fn stalls_are_read() {
    let psi = "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n";
    assert_eq!((stalled(psi), stalled("full total=1\n"), stalled("")), (Some(12345), None, None));
}

#[test]
fn the_worse_of_both_counts() {
    let mut gauge = Gauge::default();
    assert_eq!(gauge.look(0, Some(0.3), Some(0)), 0.3);
    assert_eq!(gauge.look(100_000, Some(0.9), Some(0)), 0.9);
    assert_eq!(gauge.look(200_000, None, Some(0)), 0.0);
    // All of the time is waited: after two seconds nothing is left.
    let mut level = 0.0;
    for look in 1..=20 {
        let before = std::mem::replace(
            &mut level,
            gauge.look(200_000 + look * 100_000, Some(0.1), Some(look * 100_000)),
        );
        assert!(level >= before, "{level} after {before}");
    }
    assert!(level > 0.98, "{level}");
    // Then nobody waits any more.
    for look in 21..=80 {
        level = gauge.look(200_000 + look * 100_000, Some(0.1), Some(2_000_000));
    }
    assert!(level < 0.2, "{level}");
    // A counter that begins anew is no stall.
    assert!(gauge.look(9_000_000, None, Some(0)) < 0.2);
}
