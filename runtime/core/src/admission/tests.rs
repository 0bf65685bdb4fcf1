#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::{Admission, Admit, Bounds, Class, End, SECOND, Turn, Why};

const BOUNDS: Bounds = Bounds { min: 1, max: 100, start: 10, queue: 4 };

fn fill(admission: &mut Admission, class: Class) -> u32 {
    let mut count = 0;
    while admission.admit(0, class) == Admit::Now {
        count += 1;
    }
    count
}

#[test]
fn classes_have_their_shares() {
    for (class, room) in Class::ALL.into_iter().zip([11, 10, 8, 5]) {
        let mut admission = Admission::new(BOUNDS);
        assert_eq!(fill(&mut admission, class), room, "{}", class.name());
        assert_eq!((admission.in_flight(), admission.waiting()), (room, 1));
    }
}

#[test]
fn the_important_pass_and_displace_others() {
    let mut admission = Admission::new(BOUNDS);
    fill(&mut admission, Class::Background);
    // A background request waits; there is room for others.
    assert_eq!(admission.admit(0, Class::Normal), Admit::Now);
    fill(&mut admission, Class::Normal);
    let Admit::Wait(second) = admission.admit(0, Class::Background) else { panic!() };
    let Admit::Wait(_) = admission.admit(0, Class::Background) else { panic!() };
    // Four wait; no room for the like.
    let Admit::Shed(shed) = admission.admit(0, Class::Background) else { panic!() };
    assert_eq!((shed.why, shed.retry_after), (Why::Full, 1));
    let Admit::Wait(important) = admission.admit(0, Class::Critical) else {
        // There is one place past the limit for the critical.
        let Admit::Wait(important) = admission.admit(0, Class::Critical) else { panic!() };
        let Some(Turn::Shed(_, shed)) = admission.turn(0) else { panic!() };
        assert_eq!(shed.why, Why::Displaced);
        admission.done(0, 1000, End::Answered);
        admission.done(0, 1000, End::Answered);
        assert_eq!(admission.turn(0), Some(Turn::Go(important)));
        admission.left(0, second);
        assert_eq!(admission.waiting(), 2);
        return;
    };
    panic!("{important:?}");
}

#[test]
fn the_displaced_hear_of_it_unless_they_left() {
    for leaves in [false, true] {
        let mut admission = Admission::new(Bounds { start: 1, queue: 1, ..BOUNDS });
        let mut come = |class| match admission.admit(0, class) {
            Admit::Wait(ticket) => Some(ticket),
            _ => None,
        };
        let came = [Class::Normal, Class::Low, Class::Normal].map(&mut come);
        let [None, Some(low), Some(normal)] = came else { panic!("{came:?}") };
        // The other has its place, and goes before anybody was asked for.
        admission.left(0, normal);
        if leaves {
            admission.left(0, low);
        }
        let told = matches!(admission.turn(0), Some(Turn::Shed(ticket, _)) if ticket == low);
        assert_eq!(told, !leaves);
        assert_eq!((admission.turn(0), admission.waiting()), (None, 0));
    }
}

#[test]
fn the_oldest_is_next_until_the_queue_stands() {
    let mut admission = Admission::new(BOUNDS);
    let room = fill(&mut admission, Class::Normal);
    assert_eq!(room, 10);
    let Admit::Wait(second) = admission.admit(10, Class::Normal) else { panic!() };
    admission.done(20, 20, End::Other);
    let Some(Turn::Go(first)) = admission.turn(20) else { panic!() };
    assert_ne!(first, second);
    assert_eq!(admission.turn(20), None);
    // All are patient for a second at first; then the oldest have waited too long, the newest is next.
    let due = admission.due().unwrap();
    assert_eq!(due, SECOND + 1);
    let Admit::Wait(newest) = admission.admit(due - 1, Class::Normal) else { panic!() };
    admission.done(due, 20, End::Other);
    let Some(Turn::Shed(late, shed)) = admission.turn(due) else { panic!() };
    assert_eq!((late, shed.why), (second, Why::Late));
    assert_eq!(admission.turn(due), Some(Turn::Go(newest)));
    assert_eq!((admission.turn(due), admission.due(), admission.waiting()), (None, None, 0));
}

#[test]
fn a_queue_that_gave_all_up_stands_as_it_did() {
    let mut admission = Admission::new(BOUNDS);
    fill(&mut admission, Class::Normal);
    let due = admission.due().unwrap();
    assert!(matches!(admission.turn(due), Some(Turn::Shed(..))));
    assert_eq!((admission.turn(due), admission.waiting()), (None, 0));
    // The next one gives up after a tenth of the time, one that comes later has all of it.
    for (comes, waits) in [(due + 10, SECOND / 10), (due + 3 * SECOND, SECOND)] {
        let Admit::Wait(_) = admission.admit(comes, Class::Normal) else { panic!() };
        assert_eq!(admission.due(), Some(comes + waits + 1));
        assert!(matches!(admission.turn(comes + waits + 1), Some(Turn::Shed(..))));
    }
}

#[test]
fn memory_tightens_it() {
    let table = [
        (0.0, [11, 10, 8, 5]),
        (0.8, [11, 10, 8, 0]),
        (0.89, [6, 5, 0, 0]),
        (0.93, [4, 0, 0, 0]),
        (1.0, [0; 4]),
    ];
    for (pressure, rooms) in table {
        for (class, room) in Class::ALL.into_iter().zip(rooms) {
            let mut admission = Admission::new(BOUNDS);
            admission.memory(pressure);
            assert_eq!(fill(&mut admission, class), room, "{} at {pressure}", class.name());
            if room == 0 {
                let Admit::Shed(shed) = admission.admit(0, class) else { panic!() };
                assert_eq!(shed.why, Why::Memory);
            }
        }
    }
}

/// An upstream in which `fast` requests at a time each take 10 ms, and more wait for each other.
fn settle(admission: &mut Admission, fast: u32, from: u64, seconds: u64) -> u32 {
    let mut now = from;
    while now < from + seconds * SECOND {
        while admission.admit(now, Class::Normal) == Admit::Now {}
        let busy = admission.in_flight();
        let took = 10_000 * u64::from(busy.max(fast)) / u64::from(fast);
        now += took;
        for _ in 0..busy {
            admission.done(now, took, End::Answered);
        }
        while admission.turn(now).is_some() {}
    }
    admission.limit()
}

#[test]
fn the_limit_finds_what_is_good() {
    let mut admission = Admission::new(Bounds { max: 1000, ..BOUNDS });
    for (fast, from) in [(40, 0), (8, 100), (100, 200)] {
        let limit = settle(&mut admission, fast, from * SECOND, 90);
        // As many as are fast, and a short queue.
        assert!((fast..fast * 3).contains(&limit), "{limit} for {fast}");
    }
}

#[test]
fn a_start_under_much_that_can_be_done_is_quick() {
    let mut admission = Admission::new(Bounds { start: 20, max: 5000, ..BOUNDS });
    let limit = settle(&mut admission, 1000, 0, 2);
    assert!(limit >= 1000, "{limit}");
}

#[test]
fn a_start_under_overload_is_found_out() {
    let mut admission = Admission::new(Bounds { start: 50, max: 1000, ..BOUNDS });
    // Ten times what is fast, from the first request on.
    let limit = settle(&mut admission, 5, 0, 20);
    assert!((5..15).contains(&limit), "{limit}");
}

#[test]
fn failures_lower_it() {
    let mut admission = Admission::new(BOUNDS);
    let before = admission.limit();
    for at in 0..100 {
        admission.admit(at * SECOND / 50, Class::Normal);
        admission.done(at * SECOND / 50, 10, End::Overloaded);
    }
    assert!(admission.limit() < before / 2, "{}", admission.limit());
}

#[test]
fn clients_that_leave_say_something_when_they_had_waited_for_long() {
    let leave = |took: u64| {
        let mut admission = Admission::new(BOUNDS);
        settle(&mut admission, 10, 0, 5);
        let before = admission.limit();
        for at in 0..100 {
            let now = 6 * SECOND + at * SECOND / 50;
            admission.admit(now, Class::Normal);
            admission.done(now, took, End::Left);
        }
        (before, admission.limit())
    };
    let (before, after) = leave(1000);
    assert_eq!(before, after, "they changed their minds");
    let (before, after) = leave(SECOND);
    assert!(after < before, "they had enough: {after} after {before}");
}

#[test]
fn clients_stay_away_for_longer_the_longer_it_lasts() {
    let mut admission = Admission::new(Bounds { queue: 0, ..BOUNDS });
    fill(&mut admission, Class::Normal);
    let at = |admission: &mut Admission, seconds: u64| {
        let Admit::Shed(shed) = admission.admit(seconds * SECOND, Class::Normal) else { panic!() };
        shed.retry_after
    };
    assert_eq!(at(&mut admission, 1), 1);
    for half in 2..80 {
        admission.admit(half * SECOND / 2, Class::Normal);
    }
    let later: Vec<u64> = (0..20).map(|_| at(&mut admission, 40)).collect();
    assert!(later.iter().all(|seconds| (38..=60).contains(seconds)), "{later:?}");
    assert!(later.iter().any(|seconds| *seconds != later[0]), "{later:?}");
    // After a second of peace it begins anew.
    assert_eq!(at(&mut admission, 50), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    /// Whatever comes: nobody is lost or counted twice, and both numbers stay within their bounds.
    #[test]
    fn everybody_is_counted_once(steps in prop::collection::vec((0..6u8, 0..4usize, 0..200_000u64), 1..400)) {
        let mut admission = Admission::new(BOUNDS);
        let (mut now, mut inside) = (0, 0u32);
        let mut outside = Vec::new();
        for (what, class, passed) in steps {
            now += passed;
            match what {
                0..=2 => match admission.admit(now, Class::ALL[class]) {
                    Admit::Now => inside += 1,
                    Admit::Wait(ticket) => outside.push(ticket),
                    Admit::Shed(shed) => prop_assert!((1..=90).contains(&shed.retry_after)),
                },
                3 if inside > 0 => {
                    inside -= 1;
                    let end = [End::Answered, End::Overloaded, End::Other, End::Answered][class];
                    admission.done(now, passed, end);
                }
                4 if !outside.is_empty() => {
                    let ticket = outside.remove(class % outside.len());
                    admission.left(now, ticket);
                }
                5 => admission.memory(passed as f64 / 200_000.0),
                _ => {}
            }
            while let Some(turn) = admission.turn(now) {
                let ticket = match turn {
                    Turn::Go(ticket) => {
                        inside += 1;
                        ticket
                    }
                    Turn::Shed(ticket, _) => ticket,
                };
                let at = outside.iter().position(|known| *known == ticket);
                prop_assert!(at.is_some());
                outside.remove(at.unwrap());
            }
            prop_assert_eq!(admission.in_flight(), inside);
            prop_assert_eq!(admission.waiting(), outside.len());
            prop_assert!(inside <= 110 && outside.len() <= 4);
            prop_assert!(admission.due().is_some() != outside.is_empty());
            prop_assert!(admission.due().is_none_or(|due| due > now));
        }
    }
}
