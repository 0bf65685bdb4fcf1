//! Timeouts without timer calls: arming one is a store, one sweeper a worker looks at them all.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pilotlight_core::deadlines::{Deadlines, Key};
use tokio::sync::Notify;

use crate::clock::Clock;

/// All timeouts of a worker.
pub(crate) struct Timers {
    clock: Clock,
    table: RefCell<Deadlines>,
    wakers: RefCell<Vec<Slot>>,
    /// When the sweeper looks next; `u64::MAX` while it sleeps.
    scan: Cell<u64>,
    sooner: Notify,
}

#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    fired: bool,
}

/// One timeout. Dropping it gives its place back.
pub(crate) struct Timer {
    timers: Rc<Timers>,
    key: Key,
    armed: Cell<bool>,
}

impl Timers {
    /// No timeouts yet.
    pub(crate) fn new(clock: Clock) -> Rc<Timers> {
        Rc::new(Timers {
            clock,
            table: RefCell::default(),
            wakers: RefCell::default(),
            scan: Cell::new(u64::MAX),
            sooner: Notify::new(),
        })
    }

    /// A timeout, not armed.
    pub(crate) fn timer(self: &Rc<Timers>) -> Timer {
        let key = self.table.borrow_mut().insert();
        let mut wakers = self.wakers.borrow_mut();
        if wakers.len() <= key.index() {
            wakers.resize_with(key.index() + 1, Slot::default);
        }
        wakers[key.index()] = Slot::default();
        Timer { timers: self.clone(), key, armed: Cell::new(false) }
    }

    /// The sweeper: runs as long as the worker does, and sleeps while nothing is armed.
    pub(crate) async fn sweep(self: Rc<Timers>) {
        loop {
            let next = self.table.borrow_mut().next_scan();
            self.scan.set(next.unwrap_or(u64::MAX));
            match next {
                None => self.sooner.notified().await,
                Some(at) => {
                    let wait = Duration::from_millis(at.saturating_sub(self.clock.millis()));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => self.fire(),
                        () = self.sooner.notified() => {}
                    }
                }
            }
        }
    }

    /// Lets go of what many timeouts at once have needed.
    pub(crate) fn shrink(&self) {
        let places = self.table.borrow_mut().shrink();
        let mut wakers = self.wakers.borrow_mut();
        if places < wakers.len() {
            wakers.truncate(places);
            wakers.shrink_to_fit();
        }
    }

    /// Wakes every task that waits with a timeout: something changed that they should look at.
    pub(crate) fn wake_all(&self) {
        for slot in self.wakers.borrow_mut().iter_mut() {
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    fn fire(&self) {
        let mut wakers = self.wakers.borrow_mut();
        self.table.borrow_mut().expired(self.clock.millis(), &mut |key: Key| {
            if let Some(slot) = wakers.get_mut(key.index()) {
                slot.fired = true;
                if let Some(waker) = slot.waker.take() {
                    waker.wake();
                }
            }
        });
    }
}

impl Timer {
    /// Fires `after` from now, unless armed anew or disarmed before.
    pub(crate) fn arm(&self, after: Duration) {
        self.arm_at(self.timers.clock.millis() + after.as_millis() as u64);
    }

    /// Arms it unless it is armed already: a wait's first poll starts its clock, later ones don't.
    pub(crate) fn start(&self, after: Duration) {
        if !self.armed.get() {
            self.arm(after);
        }
    }

    /// Fires at a time of the worker's clock, in milliseconds.
    pub(crate) fn arm_at(&self, at: u64) {
        self.armed.set(true);
        self.timers.wakers.borrow_mut()[self.key.index()].fired = false;
        self.timers.table.borrow_mut().arm(self.key, at);
        if at < self.timers.scan.get() {
            self.timers.scan.set(at);
            self.timers.sooner.notify_one();
        }
    }

    /// Does not fire.
    pub(crate) fn disarm(&self) {
        if !self.armed.replace(false) {
            return;
        }
        self.timers.table.borrow_mut().disarm(self.key);
        let slot = &mut self.timers.wakers.borrow_mut()[self.key.index()];
        (slot.fired, slot.waker) = (false, None);
    }

    /// Ready once it has fired; wakes the task when it does.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let slot = &mut self.timers.wakers.borrow_mut()[self.key.index()];
        if slot.fired {
            return Poll::Ready(());
        }
        if !slot.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.timers.table.borrow_mut().remove(self.key);
        self.timers.wakers.borrow_mut()[self.key.index()] = Slot::default();
    }
}
