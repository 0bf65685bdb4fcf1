use super::*;

/// `u`: up, `d`: down, `e`: ejected, until 10, 20 and so on; each a priority of its own where a digit follows.
fn seats(text: &str) -> Vec<Seat> {
    let mut seats: Vec<Seat> = Vec::new();
    for one in text.chars() {
        match one.to_digit(10) {
            Some(priority) => seats.last_mut().unwrap().priority = priority as u16,
            None => {
                let until = (one == 'e').then(|| 10 * (seats.len() as u64 + 1));
                let weight = seats.len() as u32 + 1;
                seats.push(Seat { weight, priority: 0, up: one != 'd', until });
            }
        }
    }
    seats
}

#[test]
fn those_that_are_out_weigh_nothing() {
    assert_eq!(weights(&seats("uude")), [1, 2, 0, 0]);
    assert_eq!(weights(&seats("ddee")), [0, 0, 0, 0]);
    assert_eq!(weights(&[]), [0; 0]);
}

#[test]
fn the_next_priority_stands_by() {
    assert_eq!(weights(&seats("u1u2u1")), [1, 0, 3]);
    assert_eq!(weights(&seats("d1u2e1")), [0, 2, 0]);
    assert_eq!(weights(&seats("d1u2u1")), [0, 0, 3]);
}

#[test]
fn ejections_leave_enough() {
    for (text, share, may) in [
        ("u", 0.5, false),
        ("u", 1.0, true),
        ("uu", 0.5, true),
        ("ue", 0.5, false),
        // One that is down counts, too.
        ("ud", 0.5, false),
        ("uuu", 0.5, true),
        ("uue", 0.5, false),
        ("uuuuuuuuuu", 0.1, true),
        ("uu", 0.0, false),
    ] {
        assert_eq!(may_eject(&seats(text), share), may, "{text} {share}");
    }
}

#[test]
fn whoever_is_needed_comes_back_soonest_first() {
    for (text, share, back) in [
        ("ue", 0.5, None),
        ("de", 0.5, Some(1)),
        ("dde", 0.5, Some(2)),
        ("dee", 0.5, Some(1)),
        ("dd", 0.5, None),
        ("de", 1.0, None),
        ("ee", 0.0, Some(0)),
    ] {
        assert_eq!(pardoned(&seats(text), share), back, "{text} {share}");
    }
}
