//! Those that wait: few, and none for long.
//!
//! As Facebook's servers do it ("Fail at Scale", 2015): while the queue is empty now and then, the oldest is
//! next and all may wait for a while. When it has not been empty for that while, waiting helps nobody: the
//! newest is next, since its client still waits, and old ones are sent away almost at once (CoDel's idea).

use std::collections::VecDeque;

use super::{Class, SECOND};

/// How long one may wait, as a multiple of what a request takes; and its bounds.
const PATIENCE: u64 = 2;
const BOUNDS: (u64, u64) = (SECOND / 100, SECOND);

/// What is left of it in a standing queue.
const STANDING: u64 = 10;

/// One that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

#[derive(Debug, Clone, Copy)]
struct Waiter {
    ticket: Ticket,
    since: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Queue {
    /// By class, the oldest first.
    waiting: [VecDeque<Waiter>; 4],
    len: usize,
    max: usize,
    /// `max`, less what memory pressure takes.
    bound: usize,
    /// When it was last empty, but for those that were sent away.
    empty: u64,
    /// When one was last sent away for having waited too long.
    gave_up: Option<u64>,
    patience: u64,
    issued: u64,
    displaced: Option<Ticket>,
}

impl Queue {
    pub(super) fn new(max: usize) -> Queue {
        Queue {
            waiting: Default::default(),
            len: 0,
            max,
            bound: max,
            empty: 0,
            gave_up: None,
            // Nothing is known: all that may be.
            patience: BOUNDS.1,
            issued: 0,
            displaced: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Only a share of the places is left.
    pub(super) fn shrink(&mut self, left: f64) {
        self.bound = (self.max as f64 * left) as usize;
    }

    /// A request takes so long; 0: not known.
    pub(super) fn patient(&mut self, takes: u64) {
        if takes > 0 {
            self.patience = (takes * PATIENCE).clamp(BOUNDS.0, BOUNDS.1);
        }
    }

    /// The most important class that waits.
    pub(super) fn first_class(&self) -> Option<Class> {
        Class::ALL.into_iter().find(|class| !self.waiting[*class as usize].is_empty())
    }

    /// A place, if there is one, or a less important one has it.
    pub(super) fn push(&mut self, now: u64, class: Class) -> Option<Ticket> {
        // A queue that is empty since all were late stands as it did.
        let stood = self.gave_up.is_some_and(|at| now.saturating_sub(at) <= self.patience);
        if self.len == 0 && !stood {
            self.empty = now;
        }
        if self.len >= self.bound {
            let less = Class::ALL.into_iter().rev().take_while(|other| *other > class);
            let mut less = less.filter(|other| !self.waiting[*other as usize].is_empty());
            let from = less.next().filter(|_| self.displaced.is_none())?;
            self.displaced = self.waiting[from as usize].pop_front().map(|waiter| waiter.ticket);
            self.len -= 1;
        }
        self.issued += 1;
        let ticket = Ticket(self.issued);
        self.waiting[class as usize].push_back(Waiter { ticket, since: now });
        self.len += 1;
        Some(ticket)
    }

    pub(super) fn displaced(&mut self) -> Option<Ticket> {
        self.displaced.take()
    }

    /// One that has waited too long.
    pub(super) fn late(&mut self, now: u64) -> Option<Ticket> {
        let most = self.most(now);
        let too_long = |queue: &VecDeque<Waiter>| {
            queue.front().is_some_and(|oldest| now.saturating_sub(oldest.since) > most)
        };
        let queue = self.waiting.iter_mut().rev().find(|queue| too_long(queue))?;
        let late = queue.pop_front()?;
        self.len -= 1;
        self.gave_up = Some(now);
        Some(late.ticket)
    }

    /// Who is next, of the classes that there is room for.
    pub(super) fn next(&mut self, now: u64, room: impl Fn(Class) -> bool) -> Option<Ticket> {
        let standing = self.stands(now);
        let fits = |class: &Class| room(*class) && !self.waiting[*class as usize].is_empty();
        let class = Class::ALL.into_iter().find(fits)?;
        let queue = &mut self.waiting[class as usize];
        let next = if standing { queue.pop_back() } else { queue.pop_front() }?;
        self.gone(now, 1);
        Some(next.ticket)
    }

    /// When the oldest has waited too long.
    pub(super) fn due(&self) -> Option<u64> {
        let oldest =
            self.waiting.iter().filter_map(|queue| queue.front()).map(|w| w.since).min()?;
        Some(self.late_at(oldest))
    }

    /// When one that has waited since then has waited too long.
    pub(super) fn late_at(&self, since: u64) -> u64 {
        // Nobody came before it was empty: so the queue stands before anybody has waited for all his patience.
        (since + self.patience / STANDING).max(self.empty + self.patience) + 1
    }

    pub(super) fn remove(&mut self, now: u64, ticket: Ticket) {
        self.displaced = self.displaced.filter(|displaced| *displaced != ticket);
        let before = self.len;
        self.waiting.iter_mut().for_each(|queue| queue.retain(|waiter| waiter.ticket != ticket));
        self.gone(now, before - self.waiting.iter().map(VecDeque::len).sum::<usize>());
    }

    fn gone(&mut self, now: u64, count: usize) {
        self.len -= count;
        if self.len == 0 {
            self.empty = now;
        }
    }

    /// Whether it has not been empty for as long as one may wait.
    fn stands(&self, now: u64) -> bool {
        self.len > 0 && now.saturating_sub(self.empty) > self.patience
    }

    fn most(&self, now: u64) -> u64 {
        if self.stands(now) { self.patience / STANDING } else { self.patience }
    }
}
