#![allow(clippy::unwrap_used)]

use std::time::Duration;

use pilotlight_config::manifest::{Cron, Scale, Schedule, Zone};
use proptest::prelude::*;

use super::{Now, Reason, STATE_MAX, Sample, Scaler};

fn scale() -> Scale {
    Scale {
        min: 0,
        max: 20,
        concurrency: 10,
        target: 0.7,
        window: Duration::from_secs(60),
        panic_window: Duration::from_secs(6),
        tolerance: 0.1,
        cooldown: Duration::from_secs(120),
        idle: Duration::from_secs(300),
        surge: None,
        shrink: 0.5,
        schedule: Vec::new(),
        predict: false,
    }
}

fn now(second: u64) -> Now {
    Now { millis: second * 1000, unix: second as i64, offset: 0 }
}

/// All that are wanted are ready at once, and have so many requests.
struct Play {
    scaler: Scaler,
    second: u64,
    ready: u32,
}

impl Play {
    fn new(scale: &Scale) -> Play {
        Play { scaler: Scaler::new(scale, now(0)), second: 0, ready: 0 }
    }

    /// What was said when it changed.
    fn on(&mut self, seconds: u64, load: u32) -> Vec<(u64, u32, Reason)> {
        let mut said = Vec::new();
        for _ in 0..seconds {
            let in_flight = load.min(self.ready * 10);
            let sample =
                Sample { in_flight, queued: load - in_flight, arrivals: load, ready: self.ready };
            self.scaler.observe(now(self.second), sample);
            let decision = self.scaler.decide(now(self.second));
            if decision.desired != self.ready {
                said.push((self.second, decision.desired, decision.reason));
            }
            self.ready = decision.desired;
            self.second += 1;
        }
        said
    }
}

#[test]
fn the_first_request_starts_one_and_the_idle_time_stops_it() {
    let mut play = Play::new(&scale());
    assert_eq!(play.on(100, 0), []);
    assert_eq!(play.on(10, 1), [(100, 1, Reason::Activate)]);
    assert_eq!(play.on(400, 0), [(410, 0, Reason::Idle)]);
    assert_eq!(play.scaler.next(now(play.second)), None);
}

#[test]
fn an_idle_time_shorter_than_the_window_stops_it_too() {
    let mut play = Play::new(&Scale { idle: Duration::from_secs(3), ..scale() });
    assert_eq!(play.on(100, 1), [(0, 1, Reason::Activate)]);
    assert_eq!(play.on(400, 0), [(103, 0, Reason::Idle)]);
}

#[test]
fn other_settings_stop_nothing() {
    let mut play = Play::new(&scale());
    play.on(10, 1);
    let window = Duration::from_secs(30);
    play.scaler.adjust(&Scale { window, max: 3, predict: true, ..scale() });
    assert_eq!(play.on(200, 0), []);
    assert_eq!(play.on(200, 0), [(310, 0, Reason::Idle)]);
    play.scaler.adjust(&Scale { min: 2, ..scale() });
    assert_eq!(play.on(200, 0), [(410, 2, Reason::Min)]);
}

#[test]
fn a_flood_is_met_at_once_but_not_past_the_surge() {
    let mut play = Play::new(&scale());
    let said = play.on(60, 100);
    let (first, then) = (said[0], said[1]);
    assert_eq!((first.1, first.2), (1, Reason::Activate));
    assert_eq!((then.1, then.2), (5, Reason::Surge));
    // 100 requests, of which each is to have 7.
    assert_eq!(play.ready, 15);
    assert!(play.second - then.0 <= 60 && said.last().unwrap().0 < 10);
    play.on(60, 400);
    assert_eq!(play.ready, 20);
    assert_eq!(play.scaler.decide(now(play.second)).reason, Reason::Max);
}

#[test]
fn less_load_stops_some_after_the_cooldown_and_in_steps() {
    let mut play = Play::new(&scale());
    play.on(300, 100);
    let said = play.on(900, 10);
    let steps: Vec<u32> = said.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(steps, [13, 7, 4, 2]);
    assert!(said.iter().all(|(.., reason)| *reason == Reason::Shrink));
    assert!(said[0].0 >= 300 + 120, "{said:?}");
    assert!(said.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 15), "{said:?}");
}

#[test]
fn a_dip_stops_nothing() {
    let mut play = Play::new(&scale());
    play.on(300, 100);
    for _ in 0..10 {
        assert_eq!(play.on(60, 20), []);
        assert_eq!(play.on(60, 100), []);
    }
}

#[test]
fn min_holds() {
    let mut play = Play::new(&Scale { min: 2, ..scale() });
    assert_eq!(play.on(1000, 0), [(0, 2, Reason::Min)]);
    assert_eq!(play.on(1000, 1), []);
}

#[test]
fn a_schedule_holds_from_its_time_on_and_is_ready_by_then() {
    let entry = |cron: &str, min, zone| Schedule {
        cron: Cron::new(cron).unwrap(),
        min,
        hold: Duration::from_secs(3600),
        zone,
    };
    let schedule =
        vec![entry("0 8 * * *", 2, Zone::Fixed(3600)), entry("30 7 * * *", 1, Zone::Local)];
    let mut play = Play::new(&Scale { schedule, ..scale() });
    play.scaler.started(10_000);
    let next = play.scaler.next(now(0)).unwrap() / 1000;
    // 8 o'clock there is 7 here.
    let seven = 7 * 3600;
    assert!((seven - 20..=seven - 10).contains(&next), "{next}");
    let said = play.on(24 * 3600, 0);
    assert_eq!(said.iter().map(|s| (s.1, s.2)).collect::<Vec<_>>()[0], (2, Reason::Schedule));
    assert!((seven - 20..=seven - 10).contains(&said[0].0), "{said:?}");
    // An hour later it is the other's, until half past eight.
    assert_eq!(said[1].1, 1, "{said:?}");
    assert!((seven + 3600..seven + 3800).contains(&said[1].0), "{said:?}");
    assert_eq!((said[2].1, said[2].2), (0, Reason::Idle));
    assert!((8 * 3600 + 1740..8 * 3600 + 1900).contains(&said[2].0), "{said:?}");
}

/// Days of a load that begins at 8 and ends at 18.
fn days(play: &mut Play, count: u64, load: u32) -> Vec<(u64, u32, Reason)> {
    let mut said = Vec::new();
    for _ in 0..count {
        said = play.on(8 * 3600, 0);
        said.extend(play.on(10 * 3600, load));
        said.extend(play.on(6 * 3600, 0));
    }
    said
}

#[test]
fn what_comes_each_day_is_foretold_and_what_is_forgotten_is_not() {
    let mut play = Play::new(&Scale { predict: true, ..scale() });
    days(&mut play, 4, 35);
    let midnight = play.second;
    let said = days(&mut play, 1, 35);
    let eight = midnight + 8 * 3600;
    assert_eq!(said[0].2, Reason::Forecast);
    assert!((eight - 400..eight).contains(&said[0].0), "{} {said:?}", eight);
    // Asleep it is to be woken for that.
    let next = play.scaler.next(now(play.second)).unwrap() / 1000;
    assert!((eight + 86_400 - 400..eight + 86_400).contains(&next), "{next}");

    let state = play.scaler.save(now(play.second));
    assert!(state.len() <= STATE_MAX, "{}", state.len());
    let mut other = Play::new(&Scale { predict: true, ..scale() });
    (other.second, other.ready) = (play.second + 3600, 0);
    assert!(other.scaler.restore(now(other.second), &state, true));
    let next = other.scaler.next(now(other.second)).unwrap() / 1000;
    assert!((eight + 86_400 - 400..eight + 86_400).contains(&next), "{next}");

    // A week without anything: then it is not expected any more.
    other.on(7 * 86_400, 0);
    assert_eq!(other.scaler.next(now(other.second)), None);
}

#[test]
fn a_little_each_day_is_foretold_and_what_came_once_is_not() {
    let mut play = Play::new(&Scale { predict: true, ..scale() });
    days(&mut play, 4, 1);
    let eight = play.second + 8 * 3600;
    play.on(4 * 3600, 0);
    play.on(5, 1);
    play.on(1000, 0);
    let next = play.scaler.next(now(play.second)).unwrap() / 1000;
    assert!((eight - 400..eight).contains(&next), "{next}");
    let left = eight + 86_400 - 5 * 3600 - play.second;
    play.on(left, 0);
    // Past the hour of the one request.
    assert_eq!(play.on(2 * 3600, 0), []);
}

#[test]
fn a_clock_that_jumps_spoils_nothing() {
    let mut play = Play::new(&Scale { predict: true, ..scale() });
    days(&mut play, 4, 35);
    let at = |second: u64, unix: i64| Now { millis: second * 1000, unix, offset: 0 };
    let (second, unix) = (play.second, play.second as i64);
    let before = play.scaler.forecast.clone().unwrap();
    for jump in [-86_400, 3600, 10 * 365 * 86_400, 0] {
        play.scaler.observe(at(second + 1, unix + jump), Sample::default());
        play.scaler.decide(at(second + 1, unix + jump));
    }
    let after = play.scaler.forecast.clone().unwrap();
    for hour in 0..24 {
        let local = unix + hour * 3600;
        assert_eq!(before.highest(local, 60), after.highest(local, 60), "{hour}");
    }
}

#[test]
fn gaps_say_when_to_be_back() {
    let mut play = Play::new(&Scale { predict: true, ..scale() });
    play.scaler.started(5000);
    let mut said = Vec::new();
    for _ in 0..20 {
        play.on(5, 1);
        said = play.on(3595, 0);
    }
    // Stopped soon, and back a few minutes before the hour.
    assert_eq!((said[0].1, said[0].2, said.len()), (0, Reason::Idle, 2), "{said:?}");
    assert_eq!((said[1].1, said[1].2), (1, Reason::Gap));
    assert!(said[1].0 + 900 > play.second, "{said:?} {}", play.second);
    // When nothing comes, it does not stay.
    let said = play.on(7200, 0);
    assert_eq!(said.last().unwrap().1, 0);
    assert_eq!(play.scaler.next(now(play.second)), None);

    // Gaps a little longer than the idle time are waited for.
    let mut play = Play::new(&Scale { predict: true, ..scale() });
    for _ in 0..20 {
        play.on(5, 1);
        play.on(330, 0);
    }
    play.on(5, 1);
    assert_eq!(play.on(330, 0), []);
}

#[test]
fn reasons_have_names_of_their_own() {
    let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)));
}

#[test]
fn other_states_are_not_taken() {
    let mut play = Play::new(&Scale { predict: true, ..scale() });
    days(&mut play, 3, 35);
    let state = play.scaler.save(now(play.second));
    for cut in 0..state.len() {
        assert!(!play.scaler.restore(now(play.second), &state[..cut], true), "{cut}");
    }
    let mut newer = state.clone();
    newer[0] += 1;
    assert!(!play.scaler.restore(now(play.second), &newer, true));
    assert!(play.scaler.restore(now(play.second), &state, true));
    assert_eq!(play.scaler.save(now(play.second)).len(), state.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_state_and_any_time(
        state in prop::collection::vec(any::<u8>(), STATE_MAX..STATE_MAX + 1),
        millis in any::<u32>(), unix in any::<i32>(), load in 0..1_000_000u32, asleep in any::<bool>(),
    ) {
        let mut scaler = Scaler::new(&Scale { predict: true, ..scale() }, now(0));
        let at = Now { millis: millis.into(), unix: unix.into(), offset: 0 };
        let state: Vec<u8> = [1].into_iter().chain(state).collect();
        prop_assert!(scaler.restore(at, &state, asleep));
        for step in 0..20 {
            let at = Now { millis: at.millis + step * 7000, unix: at.unix + step as i64 * 7, offset: 0 };
            let sample = Sample { in_flight: load, queued: load, arrivals: 1, ready: step as u32 };
            scaler.observe(at, sample);
            prop_assert!(scaler.decide(at).desired <= 20);
            scaler.next(at);
        }
        prop_assert!(scaler.save(at).len() <= STATE_MAX);
    }

    /// Whatever the load: between the bounds, not past the surge, and after an instance was started none is
    /// stopped for a cool-down.
    #[test]
    fn what_always_holds(loads in prop::collection::vec((0..300u32, 1..200u64), 1..30)) {
        let mut play = Play::new(&Scale { min: 1, ..scale() });
        let (mut last, mut up, mut turns, mut downward) = (0, 0, Vec::new(), false);
        for (load, seconds) in loads {
            for (second, number, _) in play.on(seconds, load) {
                prop_assert!((1..=20).contains(&number));
                prop_assert!(number <= last + last.max(4));
                if (number < last) != downward {
                    turns.push(second);
                    downward = number < last;
                }
                match number > last {
                    true => up = second,
                    false => prop_assert!(second >= up + 120),
                }
                last = number;
            }
        }
        // At most one change of direction a cool-down, over any time.
        for from in 0..turns.len() {
            for to in from..turns.len() {
                let cooldowns = (turns[to] - turns[from]) / 120;
                prop_assert!((to - from) as u64 <= cooldowns + 1, "{turns:?}");
            }
        }
    }
}
