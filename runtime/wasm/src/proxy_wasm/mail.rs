//! What comes for a context while none of its callbacks runs: answers to calls, and what callbacks
//! of other contexts want of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Waker};

use super::calling::Event;
use super::context::Answer;

/// Letters that may lie here, of those who can wait.
const FULL: usize = 32;

/// A context's letters, and who is to be woken by them.
#[derive(Default)]
pub(crate) struct Mail {
    events: RefCell<VecDeque<Event>>,
    waker: RefCell<Option<Waker>>,
    /// Who waits until some of it was read.
    writers: RefCell<Vec<Waker>>,
    /// Calls of the context that are under way.
    pub(crate) calls: Cell<u32>,
    /// Nobody looks here any more: letters go to the plugin's context.
    closed: Cell<bool>,
    /// Directions that another context has resumed.
    resumed: Cell<[bool; 2]>,
    /// It is that of a connection without HTTP.
    pub(crate) is_flow: Cell<bool>,
    /// Another context has said that the stream has had its time (`proxy_done`).
    pub(crate) done: Cell<bool>,
    /// Another context has closed the stream.
    pub(crate) broken: Cell<bool>,
    /// Another context has answered for it.
    pub(crate) answer: RefCell<Option<Answer>>,
}

impl Mail {
    /// Puts a letter in; gives it back when nobody would take it out.
    pub(crate) fn put(&self, event: Event) -> Result<(), Event> {
        if self.closed.get() {
            return Err(event);
        }
        self.events.borrow_mut().push_back(event);
        self.wake();
        Ok(())
    }

    pub(crate) fn take(&self) -> Option<Event> {
        if !self.writers.borrow().is_empty() {
            self.writers.take().into_iter().for_each(Waker::wake);
        }
        self.events.borrow_mut().pop_front()
    }

    /// Whether it is read as fast as it fills; else who polls is woken when some was read.
    pub(crate) fn has_room(&self, cx: &Context<'_>) -> bool {
        let room = self.events.borrow().len() < FULL;
        if !room {
            self.writers.borrow_mut().push(cx.waker().clone());
        }
        room
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.borrow().is_empty()
    }

    /// Lets the stream go on in a direction.
    pub(crate) fn resume(&self, side: usize) {
        let mut resumed = self.resumed.get();
        resumed[side] = true;
        self.resumed.set(resumed);
        self.wake();
    }

    /// Whether another context has resumed the direction since the last look.
    pub(crate) fn take_resumed(&self, side: usize) -> bool {
        let mut resumed = self.resumed.get();
        let was = std::mem::take(&mut resumed[side]);
        self.resumed.set(resumed);
        was
    }

    /// Wakes who waits for letters.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whom the next letter wakes.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    /// The context has ended: what is left in here.
    pub(crate) fn close(&self) -> VecDeque<Event> {
        self.closed.set(true);
        self.writers.take().into_iter().for_each(Waker::wake);
        self.events.take()
    }
}
