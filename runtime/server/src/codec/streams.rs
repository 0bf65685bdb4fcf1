//! The streams of a connection (HTTP/2 and HTTP/3): how many are open, and how many of them the peer
//! gave up before their answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

/// Of so many streams, half may be cancelled by the peer before their answer (CVE-2023-44487).
const WINDOW: u32 = 200;

/// The open streams of a connection, and how they ended.
#[derive(Default)]
pub(super) struct Streams {
    open: Cell<u32>,
    seen: Cell<u32>,
    cancelled: Cell<u32>,
    flooded: Cell<bool>,
    connection: RefCell<Option<Waker>>,
}

impl Streams {
    /// Whether no stream is open; wakes the caller's task when that becomes so.
    pub(super) fn watch(&self, cx: &Context<'_>) -> bool {
        let mut waker = self.connection.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.open.get() == 0
    }

    pub(super) fn opened(self: &Rc<Streams>) -> Opened {
        self.open.set(self.open.get() + 1);
        let seen = self.seen.get() % WINDOW + 1;
        if seen == 1 {
            self.cancelled.set(0);
        }
        self.seen.set(seen);
        Opened { streams: self.clone() }
    }

    /// Whether the peer opens streams only to give them up.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded.get()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.connection.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// A stream's place among the open ones.
pub(super) struct Opened {
    streams: Rc<Streams>,
}

impl Opened {
    /// The peer gave the stream up before its answer.
    pub(super) fn cancelled(&self) {
        let streams = &self.streams;
        streams.cancelled.set(streams.cancelled.get() + 1);
        if streams.cancelled.get() > WINDOW / 2 {
            streams.flooded.set(true);
            streams.wake();
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let open = self.streams.open.get() - 1;
        self.streams.open.set(open);
        if open == 0 {
            self.streams.wake();
        }
    }
}
