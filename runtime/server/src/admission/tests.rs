use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use pilotlight_config::manifest::{Admission, Priority};

use super::{End, Entry, Gate, Gates, Pass, Place};
use crate::clock::Clock;

fn gate(max: u32, queue: usize) -> Arc<Gate> {
    Gate::new("a".into(), Admission { min: max, max, start: max, queue }, Clock::new())
}

fn pass(gate: &Arc<Gate>) -> Pass {
    let Entry::In(pass) = gate.enter(Priority::Normal) else { panic!("no room") };
    pass
}

fn place(gate: &Arc<Gate>, priority: Priority) -> Place {
    let Entry::Wait(place) = gate.enter(priority) else { panic!("no wait") };
    place
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn figures(gate: &Gate) -> (u32, usize) {
    let figures = gate.figures();
    (figures.in_flight, figures.waiting)
}

#[test]
fn who_waits_is_woken_when_one_ends() {
    let gate = gate(1, 2);
    let first = pass(&gate);
    let mut second = place(&gate, Priority::Normal);
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(second.poll(&mut cx).is_pending());
    drop(first);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(Ok(second)) = second.poll(&mut cx) else { panic!("it is its turn") };
    assert_eq!(figures(&gate), (1, 0));
    drop(second);
    assert_eq!(figures(&gate), (0, 0));
}

#[test]
fn whoever_leaves_takes_nothing_along() {
    let gate = gate(1, 2);
    let first = pass(&gate);
    let (second, third) = (place(&gate, Priority::Normal), place(&gate, Priority::Normal));
    drop(second);
    assert_eq!(figures(&gate), (1, 1));
    // The third is told to go, and leaves before it hears of it.
    drop(first);
    assert_eq!(figures(&gate), (1, 0));
    drop(third);
    assert_eq!(figures(&gate), (0, 0));
    assert!(gate.inside().places.is_empty());
}

#[test]
fn the_displaced_are_told() {
    let gate = gate(1, 1);
    let mut holder = pass(&gate);
    let mut low = place(&gate, Priority::Background);
    let Entry::In(past) = gate.enter(Priority::Critical) else { panic!("a little past the limit") };
    let important = place(&gate, Priority::Critical);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(shed)) = low.poll(&mut cx) else { panic!("it had to make room") };
    assert_eq!((shed.why.name(), shed.first), ("displaced", true));
    assert!(matches!(gate.enter(Priority::Normal), Entry::Shed(_)));
    holder.ended(End::Answered);
    drop((holder, past, low, important));
    assert_eq!(figures(&gate), (0, 0));
}

#[test]
fn gates_stay_over_a_reload_while_they_mean_the_same() {
    let load = |text: &str| {
        let text = format!("listeners = [{{ address = \"127.0.0.1:1\" }}]\n{text}");
        pilotlight_config::parse_str(&text, std::path::Path::new("/")).unwrap().manifest
    };
    let a = load("[[routes]]\nname = \"a\"\nrespond = {}\nadmission = { max = 5 }");
    let b = load(
        "[[routes]]\nmatch = { path = \"/b\" }\nname = \"b\"\nrespond = {}\n\
         [[routes]]\nname = \"a\"\nrespond = {}\nadmission = { max = 5 }",
    );
    let c = load("[[routes]]\nname = \"a\"\nrespond = {}\nadmission = { max = 6 }");
    let clock = Clock::new();
    let first = Gates::new(&a, clock, None);
    let one = |gates: &Gates| gates.iter().map(|(_, gate)| gate.clone()).next().unwrap();
    assert!(Arc::ptr_eq(&one(&first), &one(&Gates::new(&b, clock, Some(&first)))));
    assert!(!Arc::ptr_eq(&one(&first), &one(&Gates::new(&c, clock, Some(&first)))));
    assert_eq!(Gates::new(&load("[[routes]]\nrespond = {}"), clock, None).iter().count(), 0);
}
