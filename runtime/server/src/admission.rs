//! Who is let in under overload: a gate before each route and upstream whose manifest asks for one, shared by
//! all workers. `core::admission` decides; this holds those that wait, and tells them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pilotlight_config::manifest::{self, Manifest, Priority};
use pilotlight_core::admission::{Admission, Admit, End, Shed, Ticket, Turn};

use crate::clock::Clock;

/// The gates of a generation, by the manifest's indexes; a list is empty where there is none.
#[derive(Default)]
pub(crate) struct Gates {
    routes: Vec<Option<Arc<Gate>>>,
    upstreams: Vec<Option<Arc<Gate>>>,
}

/// Where a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum At {
    Route,
    Upstream,
}

impl At {
    /// Both.
    pub(crate) const ALL: [At; 2] = [At::Route, At::Upstream];

    /// The label of its metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            At::Route => "route",
            At::Upstream => "upstream",
        }
    }
}

impl Gates {
    /// A gate that means the same as before is the same: what it has learnt and who waits there stay.
    #[cold]
    pub(crate) fn new(manifest: &Manifest, clock: Clock, old: Option<&Gates>) -> Gates {
        let routes = manifest.routes.iter().map(|route| (&route.name, route.admission));
        let upstreams = manifest.upstreams.iter().map(|one| (&one.name, one.admission));
        Gates {
            routes: gates(routes.collect(), clock, old.map(|old| &*old.routes)),
            upstreams: gates(upstreams.collect(), clock, old.map(|old| &*old.upstreams)),
        }
    }

    /// The gate before a route or an upstream.
    #[inline]
    pub(crate) fn at(&self, at: At, index: usize) -> Option<&Arc<Gate>> {
        let all = match at {
            At::Route => &self.routes,
            At::Upstream => &self.upstreams,
        };
        all.get(index)?.as_ref()
    }

    /// All there are.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (At, &Arc<Gate>)> {
        let routes = self.routes.iter().flatten().map(|gate| (At::Route, gate));
        routes.chain(self.upstreams.iter().flatten().map(|gate| (At::Upstream, gate)))
    }
}

fn gates(
    meant: Vec<(&Arc<str>, Option<manifest::Admission>)>,
    clock: Clock,
    old: Option<&[Option<Arc<Gate>>]>,
) -> Vec<Option<Arc<Gate>>> {
    if meant.iter().all(|(_, meant)| meant.is_none()) {
        return Vec::new();
    }
    let gate = |(name, meant): (&Arc<str>, Option<manifest::Admission>)| {
        let meant = meant?;
        let same = |gate: &&Arc<Gate>| gate.name == *name && gate.meant == meant;
        let known = old.into_iter().flatten().flatten().find(same);
        Some(known.cloned().unwrap_or_else(|| Gate::new(name.clone(), meant, clock)))
    };
    meant.into_iter().map(gate).collect()
}

/// Lets in what a route or an upstream can bear.
pub(crate) struct Gate {
    /// Of the route or upstream.
    pub(crate) name: Arc<str>,
    meant: manifest::Admission,
    clock: Clock,
    inside: Mutex<Inside>,
}

struct Inside {
    admission: Admission,
    /// Those that wait, and those that were told and have not looked yet.
    places: BTreeMap<Ticket, Told>,
}

enum Told {
    Wait(Option<Waker>),
    Go,
    Shed(Shed),
}

/// What happens to an exchange that comes.
pub(crate) enum Entry {
    In(Pass),
    Wait(Place),
    Shed(Shed),
}

/// A gate's figures, for metrics and `status`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) limit: u32,
    pub(crate) in_flight: u32,
    pub(crate) waiting: usize,
}

impl Gate {
    fn new(name: Arc<str>, meant: manifest::Admission, clock: Clock) -> Arc<Gate> {
        let inside = Inside { admission: Admission::new(meant), places: BTreeMap::new() };
        Arc::new(Gate { name, meant, clock, inside: Mutex::new(inside) })
    }

    /// An exchange comes.
    pub(crate) fn enter(self: &Arc<Gate>, priority: Priority) -> Entry {
        let now = self.now();
        let mut inside = self.inside();
        match inside.admission.admit(now, priority) {
            Admit::Now => Entry::In(Pass::new(self.clone(), now)),
            Admit::Shed(shed) => Entry::Shed(shed),
            Admit::Wait(ticket) => {
                inside.places.insert(ticket, Told::Wait(None));
                // It may have taken another's place.
                inside.turns(now);
                Entry::Wait(Place { gate: self.clone(), ticket, since: now, over: false })
            }
        }
    }

    /// How short memory is, from 0 to 1.
    pub(crate) fn memory(&self, pressure: f64) {
        let now = self.now();
        let mut inside = self.inside();
        inside.admission.memory(pressure);
        inside.turns(now);
    }

    pub(crate) fn figures(&self) -> Figures {
        let admission = &self.inside().admission;
        Figures {
            limit: admission.limit(),
            in_flight: admission.in_flight(),
            waiting: admission.waiting(),
        }
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_micros() as u64
    }

    /// Nothing is left half done by a panic in there.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Tells those whose turn it is.
    fn turns(&mut self, now: u64) {
        while let Some(turn) = self.admission.turn(now) {
            let (ticket, told) = match turn {
                Turn::Go(ticket) => (ticket, Told::Go),
                Turn::Shed(ticket, shed) => (ticket, Told::Shed(shed)),
            };
            if let Some(place) = self.places.get_mut(&ticket)
                && let Told::Wait(Some(waker)) = std::mem::replace(place, told)
            {
                waker.wake();
            }
        }
    }

    fn done(&mut self, now: u64, took: u64, end: End) {
        self.admission.done(now, took, end);
        self.turns(now);
    }
}

/// An exchange's place in the queue; it leaves by drop.
pub(crate) struct Place {
    gate: Arc<Gate>,
    ticket: Ticket,
    since: u64,
    /// It was told what becomes of it.
    over: bool,
}

impl Place {
    /// What becomes of it; wakes the task when that is known.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Pass, Shed>> {
        let now = self.gate.now();
        let mut inside = self.gate.inside();
        if let Some(Told::Wait(waker)) = inside.places.get_mut(&self.ticket) {
            *waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let told = inside.places.remove(&self.ticket);
        drop(inside);
        self.over = true;
        Poll::Ready(match told {
            Some(Told::Shed(shed)) => Err(shed),
            _ => Ok(Pass::new(self.gate.clone(), now)),
        })
    }

    /// Looks who has waited for too long. Says when to look again: on the clock's milliseconds.
    pub(crate) fn look(&self) -> u64 {
        let now = self.gate.now();
        let mut inside = self.gate.inside();
        inside.turns(now);
        inside.admission.late_at(self.since) / 1000 + 1
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let now = self.gate.now();
        let mut inside = self.gate.inside();
        match inside.places.remove(&self.ticket) {
            Some(Told::Wait(_)) => inside.admission.left(now, self.ticket),
            Some(Told::Go) => inside.done(now, 0, End::Other),
            Some(Told::Shed(_)) | None => {}
        }
    }
}

/// Leave for one exchange; given back by drop.
pub(crate) struct Pass {
    gate: Arc<Gate>,
    since: u64,
    /// How it ended, and after how long.
    ended: Option<(End, u64)>,
}

impl Pass {
    fn new(gate: Arc<Gate>, since: u64) -> Pass {
        Pass { gate, since, ended: None }
    }

    /// Whether it is one of this gate.
    pub(crate) fn is_of(&self, gate: &Arc<Gate>) -> bool {
        Arc::ptr_eq(&self.gate, gate)
    }

    /// The exchange has come to this end, by now, unless it had come to one before. The gate learns of it
    /// when the pass is given back.
    pub(crate) fn ended(&mut self, end: End) {
        self.ended.get_or_insert_with(|| (end, self.gate.now().saturating_sub(self.since)));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let now = self.gate.now();
        let (end, took) = self.ended.unwrap_or((End::Other, 0));
        self.gate.inside().done(now, took, end);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
