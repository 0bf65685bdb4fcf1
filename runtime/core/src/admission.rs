//! Whether a request is let in, waits, or is sent away, before an upstream or this process drowns.
//!
//! An [`Admission`] stands before what may be overloaded. It learns how many requests at a time
//! are good for it ([`limit`]): more make each take longer, and nothing faster. Those past the limit wait in
//! a short bounded queue ([`queue`]), and are sent away when they have waited too long. The less important
//! give way first, and memory pressure tightens all of it.
//!
//! The way of a request that is let in is a comparison and two additions; nothing is allocated on it.
//! Times are microseconds of a clock that never goes back.

mod limit;
mod queue;

use limit::Limit;
use queue::Queue;

pub use pilotlight_config::manifest::{Admission as Bounds, Priority as Class};
pub use queue::Ticket;

/// What a class may use, and the memory pressure from which on it is refused.
const CLASSES: [(f64, f64); 4] = [(1.1, 0.98), (1.0, 0.92), (0.8, 0.86), (0.5, 0.8)];

/// Memory pressure from which on the limit shrinks, and at which nothing is left of it.
const PRESSURE: (f64, f64) = (0.8, 0.98);

/// Seconds a client is told to stay away, at least and at most.
const RETRY_AFTER: (u64, u64) = (1, 60);

const SECOND: u64 = 1_000_000;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// It goes on; [`Admission::done`] is owed.
    Now,
    /// It waits until [`Admission::turn`] names its ticket.
    Wait(Ticket),
    /// It is answered with 503.
    Shed(Shed),
}

/// Why a request is sent away, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shed {
    /// Why.
    pub why: Why,
    /// For `Retry-After`, in seconds.
    pub retry_after: u64,
    /// Nobody was sent away for a second before it.
    pub first: bool,
}

/// Why a request is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The queue is full, of requests no less important.
    Full,
    /// A more important one has its place in the queue.
    Displaced,
    /// It has waited too long.
    Late,
    /// Memory is short.
    Memory,
}

impl Why {
    /// All there are.
    pub const ALL: [Why; 4] = [Why::Full, Why::Displaced, Why::Late, Why::Memory];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Why::Full => "full",
            Why::Displaced => "displaced",
            Why::Late => "late",
            Why::Memory => "memory",
        }
    }
}

/// How a request that was let in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an answer: how long it took says how busy the other side is.
    Answered,
    /// With a timeout, or a refusal for overload.
    Overloaded,
    /// The client left: it says something when it had waited for long.
    Left,
    /// In a way that says nothing of load: a failure, a tunnel.
    Other,
}

/// What becomes of one that has waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It goes on; [`Admission::done`] is owed.
    Go(Ticket),
    /// It is answered with 503.
    Shed(Ticket, Shed),
}

/// Lets in what can be borne.
#[derive(Debug, Clone)]
pub struct Admission {
    limit: Limit,
    queue: Queue,
    in_flight: u32,
    /// How many may be in flight for each class to be let in.
    room: [u32; 4],
    /// The highest number in flight of this window.
    busiest: u32,
    pressure: f64,
    /// Since when requests are sent away, and when one was last.
    shedding: Option<(u64, u64)>,
    /// Spreads the times at which clients come back.
    turns: u64,
}

impl Admission {
    /// Nothing is known yet.
    pub fn new(bounds: Bounds) -> Admission {
        let mut admission = Admission {
            limit: Limit::new(bounds),
            queue: Queue::new(bounds.queue),
            in_flight: 0,
            room: [0; 4],
            busiest: 0,
            pressure: 0.0,
            shedding: None,
            turns: 0,
        };
        admission.furnish();
        admission
    }

    /// A request comes.
    #[inline]
    pub fn admit(&mut self, now: u64, class: Class) -> Admit {
        if self.in_flight < self.room[class as usize] && self.queue.is_empty() {
            self.enter();
            return Admit::Now;
        }
        self.full(now, class)
    }

    /// A request that was let in has ended, so many microseconds after it was.
    pub fn done(&mut self, now: u64, took: u64, end: End) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.limit.sample(now, took, end, self.busiest) {
            self.busiest = self.in_flight;
            self.furnish();
        }
    }

    /// Who of those that wait is next, if anybody is. To be asked until there is none: after an
    /// [`Admit::Wait`], whenever a request has ended, and at [`Admission::due`].
    pub fn turn(&mut self, now: u64) -> Option<Turn> {
        if let Some(ticket) = self.queue.displaced() {
            return Some(Turn::Shed(ticket, self.shed(now, Why::Displaced)));
        }
        if self.queue.is_empty() {
            return None;
        }
        self.queue.patient(self.limit.base());
        if let Some(ticket) = self.queue.late(now) {
            return Some(Turn::Shed(ticket, self.shed(now, Why::Late)));
        }
        let room = self.room;
        let in_flight = self.in_flight;
        let ticket = self.queue.next(now, |class| in_flight < room[class as usize])?;
        self.enter();
        Some(Turn::Go(ticket))
    }

    /// When [`Admission::turn`] is to be asked next, if no request ends before.
    pub fn due(&self) -> Option<u64> {
        self.queue.due()
    }

    /// The same for one that has waited since then.
    pub fn late_at(&self, since: u64) -> u64 {
        self.queue.late_at(since)
    }

    /// One that waited has gone.
    pub fn left(&mut self, now: u64, ticket: Ticket) {
        self.queue.remove(now, ticket);
    }

    /// How short memory is: from 0, not at all, to 1, at the limit.
    pub fn memory(&mut self, pressure: f64) {
        self.pressure = pressure.clamp(0.0, 1.0);
        self.furnish();
    }

    /// How many may be in flight.
    pub fn limit(&self) -> u32 {
        self.limit.get()
    }

    /// How many are.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    #[inline]
    fn enter(&mut self) {
        self.in_flight += 1;
        self.busiest = self.busiest.max(self.in_flight);
    }

    #[cold]
    fn full(&mut self, now: u64, class: Class) -> Admit {
        if self.room[class as usize] == 0 {
            return Admit::Shed(self.shed(now, Why::Memory));
        }
        self.queue.patient(self.limit.base());
        // The important do not stand behind others while there is room.
        if self.in_flight < self.room[class as usize] && self.queue.first_class() > Some(class) {
            self.enter();
            return Admit::Now;
        }
        match self.queue.push(now, class) {
            Some(ticket) => Admit::Wait(ticket),
            None => Admit::Shed(self.shed(now, Why::Full)),
        }
    }

    /// It has been too much for so long: it is likely to be for as long again.
    fn shed(&mut self, now: u64, why: Why) -> Shed {
        let (since, first) = match self.shedding {
            Some((since, last)) if now.saturating_sub(last) < SECOND => (since, false),
            _ => (now, true),
        };
        self.shedding = Some((since, now));
        let (least, most) = RETRY_AFTER;
        let seconds = (now.saturating_sub(since) / SECOND).clamp(least, most);
        // Those sent away together do not come back together.
        self.turns = self.turns.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let spread = ((self.turns >> 32) * (seconds / 2 + 1)) >> 32;
        Shed { why, retry_after: seconds + spread, first }
    }

    /// What each class may use, by the limit and by memory.
    fn furnish(&mut self) {
        let (from, to) = PRESSURE;
        let left = ((to - self.pressure) / (to - from)).clamp(0.0, 1.0);
        let limit = f64::from(self.limit.get()) * left;
        for (room, (share, refused)) in self.room.iter_mut().zip(CLASSES) {
            let number = (limit * share).ceil() as u32;
            *room = if self.pressure >= refused { 0 } else { number.max(1) };
        }
        self.queue.shrink(left);
    }
}

#[cfg(test)]
mod tests;
