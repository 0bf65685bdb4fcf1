use std::time::Duration;

use super::*;

const RULES: manifest::Health = manifest::Health {
    path: None,
    host: None,
    statuses: Vec::new(),
    interval: Duration::from_secs(5),
    timeout: Duration::from_secs(1),
    healthy: 2,
    unhealthy: 3,
};

/// Probes, `+` and `-`, and whether it takes requests after each: `u` and `d`, in upper case at a change.
fn walk(mut health: Health, probes: &str) -> String {
    let each = probes.chars().map(|probe| {
        let changes = health.probed(probe == '+', &RULES);
        match (health.is_up(), changes) {
            (true, false) => 'u',
            (true, true) => 'U',
            (false, false) => 'd',
            (false, true) => 'D',
        }
    });
    each.collect()
}

#[test]
fn so_many_in_a_row_decide_and_the_first_one_alone() {
    for (probes, then) in [
        ("+--+---", "uuuuuuD"),
        ("----+-++", "DddddddU"),
        ("-+++", "DdUu"),
        ("+---+++", "uuuDdUu"),
        ("+--+--+---", "uuuuuuuuuD"),
    ] {
        assert_eq!(walk(Health::default(), probes), then, "{probes}");
    }
}

#[test]
fn after_sleep_the_next_probe_decides() {
    assert_eq!(walk(Health::remembered(true), "+---"), "UuuD");
    assert_eq!(walk(Health::remembered(true), "-+-++"), "ddddU");
    assert_eq!(walk(Health::remembered(false), "-"), "D");
    assert!(!Health::remembered(true).is_up());
}
