//! Requests that wait for a connection, first come first served: one queue an upstream and worker.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Waker};

use pilotlight_core::breaker::Permit;

/// Bounded by the breaker: a place costs a permit.
#[derive(Default)]
pub(super) struct Queue {
    places: RefCell<VecDeque<(u64, Option<Waker>)>>,
    next: Cell<u64>,
}

/// A request's place; it leaves by drop.
pub(super) struct Place<'a> {
    queue: &'a Queue,
    number: u64,
    _leave: Permit,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// Takes the last place.
    pub(super) fn join(&self, leave: Permit) -> Place<'_> {
        let number = self.next.get();
        self.next.set(number + 1);
        self.places.borrow_mut().push_back((number, None));
        Place { queue: self, number, _leave: leave }
    }

    /// Tells the first that something may be there for it.
    pub(super) fn wake(&self) {
        if let Some((_, Some(waker))) = self.places.borrow().front() {
            waker.wake_by_ref();
        }
    }
}

impl Place<'_> {
    /// Whether it is this one's turn; wakes the task when something changes.
    pub(super) fn is_first(&self, cx: &Context<'_>) -> bool {
        let mut places = self.queue.places.borrow_mut();
        let first = places.front().is_some_and(|(number, _)| *number == self.number);
        if let Ok(at) = places.binary_search_by_key(&self.number, |(number, _)| *number) {
            places[at].1 = Some(cx.waker().clone());
        }
        first
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.queue.places.borrow_mut();
        if let Ok(at) = places.binary_search_by_key(&self.number, |(number, _)| *number) {
            places.remove(at);
        }
        drop(places);
        // What this one was told of may be there still, and is the next one's now.
        self.queue.wake();
    }
}
