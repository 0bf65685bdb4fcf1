#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{Cron, DAY, civil};

/// Minutes since 1970 of a day since 1970 and a time.
fn at(day: i64, hour: i64, minute: i64) -> i64 {
    day * DAY + hour * 60 + minute
}

#[test]
fn the_calendar() {
    // 1970-01-01, 2000-02-29, 2026-11-26, 2100-02-28 and the day after it (no leap year), 1969-12-31.
    let days = [(0, (1, 1)), (11_016, (2, 29)), (20_783, (11, 26)), (47_540, (2, 28))];
    for (day, date) in days.into_iter().chain([(47_541, (3, 1)), (-1, (12, 31))]) {
        assert_eq!(civil(day), date, "{day}");
    }
}

#[test]
fn next_and_last() {
    // 26 November 2026 is a Thursday.
    let today = 20_783;
    let noon = at(today, 12, 0);
    let table = [
        ("0 8 * * 1-5", at(today + 1, 8, 0), Some(at(today, 8, 0))),
        ("0 8 * * mon-FRI", at(today + 1, 8, 0), Some(at(today, 8, 0))),
        ("*/15 9-17 * * *", noon, Some(noon)),
        ("7-59/20 * * * *", noon + 7, Some(noon - 13)),
        ("5/25 * * * *", noon + 5, Some(noon - 5)),
        ("0 12 * * *", noon, Some(noon)),
        ("1,30 0 * * *", at(today + 1, 0, 1), Some(at(today, 0, 30))),
        ("0 0 * * 7", at(today + 3, 0, 0), None),
        ("0 0 * * sun", at(today + 3, 0, 0), None),
        // Either day will do: the 1st, or a Saturday.
        ("0 0 1 * 6", at(today + 2, 0, 0), None),
        ("0 0 1 * *", at(today + 5, 0, 0), None),
        ("0 0 1 feb *", at(today + 67, 0, 0), None),
        ("@hourly", noon, Some(noon)),
        ("@Daily", at(today + 1, 0, 0), Some(at(today, 0, 0))),
        // 29 February 2028.
        ("0 0 29 2 *", at(21_243, 0, 0), None),
    ];
    for (text, next, last) in table {
        let cron = Cron::new(text).unwrap();
        assert_eq!(cron.next(noon), Some(next), "{text}");
        assert_eq!(cron.last(noon, 24 * 60), last, "{text}");
        assert_eq!(cron.text(), text);
    }
    // There is no 29 February 2100.
    assert_eq!(Cron::new("0 0 29 2 *").unwrap().next(at(47_000, 0, 0)), Some(at(49_001, 0, 0)));
}

#[test]
fn a_span_has_a_beginning() {
    let cron = Cron::new("0 8 * * *").unwrap();
    assert_eq!(cron.last(at(3, 8, 59), 60), Some(at(3, 8, 0)));
    assert_eq!(cron.last(at(3, 9, 0), 60), None);
    assert_eq!(cron.last(at(3, 9, 0), 0), None);
}

#[test]
fn what_is_none() {
    let table = [
        ("0 8 * *", "has not five fields"),
        ("", "has not five fields"),
        ("60 * * * *", "\"60\" is no minute"),
        ("* 24 * * *", "\"24\" is no hour"),
        ("* * 0 * *", "\"0\" is no day of the month"),
        ("* * * 13 *", "\"13\" is no month"),
        ("* * * * 8", "\"8\" is no day of the week"),
        ("* * * * monday", "is no day of the week"),
        ("+1 * * * *", "\"+1\" is no minute"),
        ("1-,2 * * * *", "\"\" is no minute"),
        ("* 22-6 * * *", "\"22-6\" goes backwards"),
        ("*/0 * * * *", "has no step"),
        ("*/x * * * *", "has no step"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
    ];
    for (text, message) in table {
        let error = Cron::new(text).unwrap_err();
        assert!(error.0.contains(message), "{text}: {}", error.0);
    }
    assert!(Cron::new("* 22-6 * * *").unwrap_err().1.unwrap().contains("22-23,0-6"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn next_and_last_agree(
        minute in 0..60u32, step in 1..30u32, hour in 0..24u32, weekday in 0..7u32, now in -10_000_000..100_000_000i64,
    ) {
        for text in [
            format!("{minute}/{step} {hour} * * {weekday}"),
            format!("{minute} */{step} * * *"),
            format!("{minute} {hour} {} * {weekday}", weekday + 1),
        ] {
            let cron = Cron::new(&text).unwrap();
            let next = cron.next(now).unwrap();
            prop_assert!(next >= now);
            prop_assert_eq!(cron.next(next), Some(next));
            prop_assert_eq!(cron.last(next, 1), Some(next));
            // Between now and the next there is none.
            prop_assert!(next == now || cron.last(next - 1, next - now).is_none());
        }
    }

    #[test]
    fn any_text(text in "\\PC{0,30}") {
        let _ = Cron::new(&text);
    }

    #[test]
    fn anything_like_it(text in "[-0-9*/,a-z]{0,6}( [-0-9*/,a-z]{0,6}){4}") {
        let _ = Cron::new(&text);
    }
}
