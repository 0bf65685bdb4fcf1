//! A server at five times what it can do, with admission before it and without: time is a number, seeds are
//! printed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use pilotlight_core::admission::{Admission, Admit, Bounds, Class, End, Ticket, Turn};

#[path = "sim/dice.rs"]
mod dice;

use dice::Dice;

/// Microseconds.
const SECOND: u64 = 1_000_000;

/// What the server does at a time, and how long one takes on average.
const WORKERS: usize = 16;
const TAKES: f64 = 20_000.0;

/// Clients wait no longer.
const TIMEOUT: u64 = SECOND;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A request comes.
    Comes,
    /// One that came then and was let in then ends.
    Ends(u64, u64),
    /// Somebody may have waited too long.
    Due,
}

struct Run {
    /// Answers in time, per second.
    goodput: f64,
    /// Of answered ones, microseconds from coming to the answer.
    p99: u64,
    /// The most that waited before the server, and in it.
    waiting: usize,
    inside: usize,
}

/// Requests come at `load` times what the server can do.
fn run(load: f64, seed: u64, mut admission: Option<Admission>) -> Run {
    let (warm, until) = (5 * SECOND, 25 * SECOND);
    let gap = TAKES / WORKERS as f64 / load;
    let mut dice = Dice(seed);
    let mut events = BinaryHeap::from([Reverse((0, Event::Comes))]);
    let mut waiting: HashMap<Ticket, u64> = HashMap::new();
    // In the server, before its workers: when they came, and were let in.
    let mut inside: VecDeque<(u64, u64)> = VecDeque::new();
    let mut idle = WORKERS;
    let (mut good, mut took) = (0u64, Vec::new());
    let (mut most_waiting, mut most_inside) = (0, 0);
    // The next time at which somebody may have waited too long.
    let mut due: Option<u64> = None;
    while let Some(Reverse((now, event))) = events.pop()
        && now < until
    {
        match event {
            Event::Comes => {
                let next = now + (-gap * (1.0 - dice.unit()).ln()) as u64 + 1;
                events.push(Reverse((next, Event::Comes)));
                match admission.as_mut().map_or(Admit::Now, |a| a.admit(now, Class::Normal)) {
                    Admit::Now => inside.push_back((now, now)),
                    Admit::Wait(ticket) => drop(waiting.insert(ticket, now)),
                    Admit::Shed(_) => {}
                }
            }
            Event::Ends(came, entered) => {
                idle += 1;
                if let Some(admission) = &mut admission {
                    admission.done(now, now - entered, End::Answered);
                }
                if now > warm {
                    took.push(now - came);
                    good += u64::from(now - came <= TIMEOUT);
                }
            }
            Event::Due => due = due.filter(|at| *at > now),
        }
        if let Some(admission) = &mut admission {
            while let Some(turn) = admission.turn(now) {
                match turn {
                    Turn::Go(ticket) => {
                        inside.push_back((waiting.remove(&ticket).unwrap_or(0), now))
                    }
                    Turn::Shed(ticket, _) => drop(waiting.remove(&ticket)),
                }
            }
            if let Some(at) = admission.due().filter(|at| due.is_none_or(|known| *at < known)) {
                events.push(Reverse((at, Event::Due)));
                due = Some(at);
            }
        }
        most_waiting = most_waiting.max(waiting.len());
        most_inside = most_inside.max(inside.len() + WORKERS - idle);
        while idle > 0
            && let Some((came, entered)) = inside.pop_front()
        {
            idle -= 1;
            let takes = TAKES * (0.5 + dice.unit());
            events.push(Reverse((now + takes as u64, Event::Ends(came, entered))));
        }
    }
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or(0);
    let seconds = (until - warm) as f64 / SECOND as f64;
    Run { goodput: good as f64 / seconds, p99, waiting: most_waiting, inside: most_inside }
}

#[test]
fn five_times_too_much_leaves_nine_tenths_of_the_goodput() {
    let peak = WORKERS as f64 / TAKES * SECOND as f64;
    println!("| seed | load | goodput of {peak:.0}/s | p99 ms | waiting | in the server |");
    println!("|---|---|---|---|---|---|");
    for seed in 1..=3 {
        let new = || Some(Admission::new(Bounds { min: 2, max: 1000, start: 20, queue: 100 }));
        let idle = run(0.3, seed, new());
        let full = run(0.8, seed, new());
        let over = run(5.0, seed, new());
        let bare = run(5.0, seed, None);
        for (what, run) in [("0.3", &idle), ("0.8", &full), ("5", &over), ("5, bare", &bare)] {
            let Run { goodput, p99, waiting, inside } = run;
            let p99 = *p99 as f64 / 1000.0;
            println!("| {seed} | {what} | {goodput:.0} | {p99:.1} | {waiting} | {inside} |");
        }
        assert!(full.goodput > 0.77 * peak, "seed {seed}: nobody is sent away while there is room");
        assert!(over.goodput > 0.9 * peak, "seed {seed}: {}", over.goodput);
        assert!(over.p99 < 5 * idle.p99, "seed {seed}: {} against {}", over.p99, idle.p99);
        assert!(over.waiting <= 100 && over.inside < 5 * WORKERS, "seed {seed}");
        assert!(bare.goodput < 0.2 * peak, "seed {seed}: without it there is hardly any");
    }
}

/// Times that differ much are no overload: an upstream that takes any number at a time, and is asked for as many a
/// second as keep 10 of them under way.
#[test]
fn nobody_is_sent_away_because_times_differ() {
    type Takes = fn(&mut Dice) -> f64;
    let loads: [(&str, Takes); 3] = [
        ("even", |dice| 50_000.0 * (0.5 + dice.unit())),
        ("exponential", |dice| -50_000.0 * (1.0 - dice.unit()).ln()),
        ("a tenth is slow", |dice| if dice.unit() < 0.9 { 10_000.0 } else { 410_000.0 }),
    ];
    for ((what, takes), seed) in
        loads.into_iter().flat_map(|load| [(load, 1), (load, 2), (load, 3)])
    {
        let mut admission = Admission::new(Bounds { min: 2, max: 1000, start: 20, queue: 100 });
        let mut dice = Dice(seed);
        let (mut now, mut came, mut shed) = (0.0, 0u32, 0u32);
        let mut ends: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
        let mut least = u32::MAX;
        while now < 120.0 * SECOND as f64 {
            now += -5_000.0 * (1.0 - dice.unit()).ln();
            while let Some(Reverse((end, began))) = ends.peek().copied()
                && end <= now as u64
            {
                ends.pop();
                admission.done(end, end - began, End::Answered);
                while let Some(turn) = admission.turn(end) {
                    match turn {
                        Turn::Go(_) => ends.push(Reverse((end + takes(&mut dice) as u64, end))),
                        Turn::Shed(..) => shed += 1,
                    }
                }
            }
            came += 1;
            let at = now as u64;
            match admission.admit(at, Class::Normal) {
                Admit::Now => ends.push(Reverse((at + takes(&mut dice) as u64, at))),
                Admit::Wait(_) => {}
                Admit::Shed(_) => shed += 1,
            }
            least = least.min(admission.limit());
        }
        println!(
            "{what}, seed {seed}: {shed} of {came} sent away, limit at least {least}, now {}",
            admission.limit()
        );
        assert!(shed * 200 < came, "{what}, seed {seed}: {shed} of {came}");
    }
}
