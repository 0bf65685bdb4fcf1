//! An application as exchanges see it: a seat at an instance, or a place in the queue.
//!
//! One lock an application, held for a few steps; nobody waits under it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use pilotlight_config::manifest::{self, Activate, Endpoint};
use pilotlight_core::scale::{Decision, Reason, Sample};
use rustls::ClientConfig;
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::upstream::UpstreamError;

/// So many exchanges in a row that an instance left without an answer: it is looked at.
const SILENT: u32 = 3;

/// An application that the gateway starts and stops.
pub(crate) struct App {
    pub(crate) name: Arc<str>,
    clock: Clock,
    pub(super) settings: ArcSwap<Settings>,
    desk: Mutex<Desk>,
    /// Rung when the keeper has something to look at.
    pub(super) bell: Notify,
}

/// What a manifest says of it. A reload may change some of that while it runs on.
pub(crate) struct Settings {
    pub(super) meant: Arc<Activate>,
    /// Where its one instance listens, if it is the manifest that says so.
    pub(super) endpoint: Option<Endpoint>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) server_name: Option<String>,
}

/// Who sits where, and who waits.
struct Desk {
    rooms: Vec<Room>,
    waiting: VecDeque<Waiter>,
    /// The number of the next who waits.
    next: u64,
    /// Requests since the keeper last asked.
    arrivals: u32,
    /// Nobody waits before then, and why.
    rests: Option<(Duration, UpstreamError)>,
    closed: bool,
    /// The keeper saw them busy, and wants to know when nobody is any more.
    watched: bool,
    facts: Facts,
}

/// An instance that has been ready.
struct Room {
    id: u64,
    endpoint: Arc<Endpoint>,
    busy: u32,
    /// It takes exchanges.
    open: bool,
    /// It may be in trouble: the keeper is to look.
    suspect: bool,
    /// Exchanges that it left without an answer, in a row.
    silent: u32,
}

struct Waiter {
    number: u64,
    tell: oneshot::Sender<Result<Seat, UpstreamError>>,
}

/// How it stands, for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// Instances that are starting, ready, draining and stopping.
    pub(crate) instances: [usize; STATES.len()],
    pub(crate) desired: u32,
    pub(crate) reason: Reason,
    /// Requests that instances are busy with, and that wait for one.
    pub(crate) in_flight: u32,
    pub(crate) waiting: usize,
    /// Seconds until the next try, after crashes.
    pub(crate) rests: Option<u32>,
    /// When there is more to do without a request: on the process's clock.
    planned: Option<Duration>,
}

/// What instances do, as [`Facts::instances`] counts them.
pub(crate) const STATES: [&str; 4] = ["starting", "ready", "draining", "stopping"];

impl Settings {
    pub(crate) fn new(
        upstream: &manifest::Upstream,
        meant: Arc<Activate>,
        tls: Option<Arc<ClientConfig>>,
    ) -> Settings {
        let endpoint = upstream.endpoints.first().cloned();
        let server_name = upstream.tls.server_name.clone();
        Settings { meant, endpoint, tls, server_name }
    }

    /// Whether instances that were started by one are those of the other.
    fn is_same(&self, other: &Settings) -> bool {
        let place = |settings: &Settings| settings.endpoint.as_ref().map(place);
        let what = |settings: &Settings| {
            let meant = &settings.meant;
            (meant.launch.clone(), meant.listens, meant.limits)
        };
        what(self) == what(other) && place(self) == place(other)
    }
}

fn place(endpoint: &Endpoint) -> Endpoint {
    Endpoint { place: Default::default(), weight: 1, ..endpoint.clone() }
}

impl App {
    /// Nothing runs yet.
    pub(crate) fn new(name: Arc<str>, settings: Settings, clock: Clock) -> Arc<App> {
        let desk = Desk {
            rooms: Vec::new(),
            waiting: VecDeque::new(),
            next: 0,
            arrivals: 0,
            rests: None,
            closed: false,
            watched: false,
            facts: Facts {
                instances: [0; STATES.len()],
                desired: 0,
                reason: Reason::Idle,
                in_flight: 0,
                waiting: 0,
                rests: None,
                planned: None,
            },
        };
        let (settings, desk) = (ArcSwap::from_pointee(settings), Mutex::new(desk));
        Arc::new(App { name, clock, settings, desk, bell: Notify::new() })
    }

    /// Whether both can't run at a time, since they listen at the same place.
    pub(super) fn is_in_the_way_of(&self, other: &App) -> bool {
        let place = |app: &App| app.settings.load().endpoint.as_ref().map(place);
        place(self).is_some() && place(self) == place(other)
    }

    /// Whether it listens at a place that is not of our choice.
    pub(super) fn has_place(&self) -> bool {
        self.settings.load().endpoint.is_some()
    }

    /// Whether it can go on under these settings.
    pub(crate) fn goes_on(&self, name: &str, settings: &Settings) -> bool {
        *self.name == *name && self.settings.load().is_same(settings)
    }

    /// A seat: at once, or when it is one's turn. Who drops the future leaves the queue.
    ///
    /// # Errors
    /// It can't be started, or not in time; too many wait.
    pub(crate) async fn enter(self: &Arc<App>) -> Result<Seat, UpstreamError> {
        let limit = self.settings.load().meant.start_timeout;
        let mut place = match self.join()? {
            Joined::Seat(seat) => return Ok(seat),
            Joined::Place(place) => place,
        };
        match tokio::time::timeout(limit, &mut place.told).await {
            Ok(told) => told.unwrap_or(Err(UpstreamError::NoEndpoint)),
            // The instances that there are had no time for it; or there is none.
            Err(_) if self.lock().rooms.iter().any(|room| room.open) => Err(UpstreamError::Limit),
            Err(_) => Err(UpstreamError::NotReady),
        }
    }

    fn join(self: &Arc<App>) -> Result<Joined, UpstreamError> {
        let queue = self.settings.load().meant.queue;
        let mut desk = self.lock();
        desk.arrivals = desk.arrivals.saturating_add(1);
        if desk.waiting.is_empty()
            && let Some(seat) = self.seat(&mut desk)
        {
            return Ok(Joined::Seat(seat));
        }
        if let Some((until, why)) = desk.rests
            && until > self.clock.elapsed()
            && !desk.rooms.iter().any(|room| room.open)
        {
            return Err(self.resting(until, why));
        }
        if desk.closed {
            return Err(UpstreamError::NoEndpoint);
        }
        if desk.waiting.len() >= queue {
            return Err(UpstreamError::Limit);
        }
        let (tell, told) = oneshot::channel();
        let number = desk.next;
        desk.next += 1;
        desk.waiting.push_back(Waiter { number, tell });
        let is_first = desk.waiting.len() == 1;
        drop(desk);
        if is_first {
            self.bell.notify_one();
        }
        Ok(Joined::Place(Place { app: self.clone(), number, told }))
    }

    /// The least busy instance that has room.
    fn seat(self: &Arc<App>, desk: &mut Desk) -> Option<Seat> {
        let most = self.settings.load().meant.scale.concurrency;
        let free = desk.rooms.iter_mut().filter(|room| room.open && room.busy < most);
        let room = free.min_by_key(|room| room.busy)?;
        room.busy += 1;
        Some(Seat { app: self.clone(), instance: room.id, endpoint: room.endpoint.clone() })
    }

    /// Whose turn it is, if there is a seat.
    fn turn(self: &Arc<App>, desk: &mut Desk) -> Option<(Waiter, Seat)> {
        let waiter = desk.waiting.pop_front()?;
        match self.seat(desk) {
            Some(seat) => Some((waiter, seat)),
            None => {
                desk.waiting.push_front(waiter);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resting(&self, until: Duration, why: UpstreamError) -> UpstreamError {
        let left = until.saturating_sub(self.clock.elapsed()).as_secs_f64().ceil();
        match why {
            UpstreamError::Resting(_) => UpstreamError::Resting((left as u32).max(1)),
            other => other,
        }
    }
}

enum Joined {
    Seat(Seat),
    Place(Place),
}

/// A place in the queue; it is left by drop.
struct Place {
    app: Arc<App>,
    number: u64,
    told: oneshot::Receiver<Result<Seat, UpstreamError>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut desk = self.app.lock();
        if let Ok(at) = desk.waiting.binary_search_by_key(&self.number, |waiter| waiter.number) {
            desk.waiting.remove(at);
        }
    }
}

/// Counts as one of an instance's exchanges until dropped.
pub(crate) struct Seat {
    app: Arc<App>,
    pub(crate) instance: u64,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut desk = self.app.lock();
        desk.vacate(self.instance);
        let is_over = desk.rooms.iter().any(|r| r.id == self.instance && !r.open && r.busy == 0);
        let turn = self.app.turn(&mut desk);
        let rests = desk.watched && desk.rooms.iter().all(|room| room.busy == 0);
        desk.watched &= !rests;
        drop(desk);
        if let Some((waiter, seat)) = turn {
            drop(waiter.tell.send(Ok(seat)));
        }
        if is_over || rests {
            self.app.bell.notify_one();
        }
    }
}

impl Desk {
    fn vacate(&mut self, instance: u64) {
        if let Some(room) = self.room(instance) {
            room.busy -= 1;
        }
    }

    fn room(&mut self, instance: u64) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| room.id == instance)
    }
}

/// How an instance did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    Answer,
    /// It took the exchange, and gave no answer.
    Silence,
    /// It took no connection.
    Refuse,
}

impl App {
    /// How an exchange with an instance went. One that refuses gets no more until it was looked at; neither does
    /// one that is silent.
    pub(crate) fn tell(&self, instance: u64, did: Did) {
        let mut desk = self.lock();
        let Some(room) = desk.room(instance) else { return };
        room.silent = if did == Did::Answer { 0 } else { room.silent.saturating_add(1) };
        let looks = room.open && (did == Did::Refuse || room.silent >= SILENT);
        if looks {
            (room.open, room.suspect) = (false, true);
        }
        drop(desk);
        if looks {
            self.bell.notify_one();
        }
    }
}

/// The keeper's side.
impl App {
    pub(super) fn sample(&self) -> Sample {
        let mut desk = self.lock();
        let in_flight = desk.rooms.iter().map(|room| room.busy).sum();
        desk.watched = in_flight > 0;
        Sample {
            in_flight,
            queued: u32::try_from(desk.waiting.len()).unwrap_or(u32::MAX),
            arrivals: std::mem::take(&mut desk.arrivals),
            ready: desk.rooms.iter().filter(|room| room.open).count() as u32,
        }
    }

    /// An instance is ready: who waits comes in, in order.
    pub(super) fn open(self: &Arc<App>, id: u64, endpoint: Arc<Endpoint>) {
        let mut desk = self.lock();
        desk.rests = None;
        desk.rooms.push(Room { id, endpoint, busy: 0, open: true, suspect: false, silent: 0 });
        drop(desk);
        self.admit();
    }

    /// It takes exchanges again.
    pub(super) fn reopen(self: &Arc<App>, id: u64) {
        if let Some(room) = self.lock().room(id) {
            (room.open, room.suspect, room.silent) = (true, false, 0);
        }
        self.admit();
    }

    fn admit(self: &Arc<App>) {
        loop {
            let turn = self.turn(&mut self.lock());
            let Some((waiter, seat)) = turn else { return };
            // One that has left gives its seat back.
            drop(waiter.tell.send(Ok(seat)));
        }
    }

    /// It takes no more exchanges; says how many it still has.
    pub(super) fn shut(&self, id: u64) -> u32 {
        self.lock().room(id).map_or(0, |room| {
            room.open = false;
            room.busy
        })
    }

    pub(super) fn busy(&self, id: u64) -> u32 {
        self.lock().room(id).map_or(0, |room| room.busy)
    }

    /// Instances that are to be looked at; each is told once.
    pub(super) fn suspects(&self) -> Vec<u64> {
        let mut desk = self.lock();
        let suspects = desk.rooms.iter_mut().filter(|room| room.suspect);
        suspects
            .map(|room| {
                room.suspect = false;
                room.id
            })
            .collect()
    }

    pub(super) fn forget(&self, id: u64) {
        self.lock().rooms.retain(|room| room.id != id);
    }

    /// Whether an instance is still one of it.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.lock().rooms.iter().any(|room| room.id == id)
    }

    /// Nobody need wait until then: those who do are told why.
    pub(super) fn rest(&self, until: Duration, why: UpstreamError) {
        let mut desk = self.lock();
        desk.rests = Some((until, why));
        let all = std::mem::take(&mut desk.waiting);
        drop(desk);
        let why = self.resting(until, why);
        all.into_iter().for_each(|waiter| drop(waiter.tell.send(Err(why))));
    }

    pub(super) fn rested(&self) {
        self.lock().rests = None;
    }

    /// It is over: nobody gets in, or waits.
    pub(super) fn close(&self) {
        let mut desk = self.lock();
        desk.closed = true;
        let all = std::mem::take(&mut desk.waiting);
        drop(desk);
        all.into_iter().for_each(|waiter| drop(waiter.tell.send(Err(UpstreamError::NoEndpoint))));
    }

    pub(super) fn note(
        &self,
        instances: [usize; STATES.len()],
        decision: Decision,
        planned: Option<Duration>,
    ) {
        let facts = &mut self.lock().facts;
        (facts.instances, facts.planned) = (instances, planned);
        (facts.desired, facts.reason) = (decision.desired, decision.reason);
    }

    /// How it stands.
    pub(crate) fn facts(&self) -> Facts {
        let desk = self.lock();
        let now = self.clock.elapsed();
        let left =
            |(until, _): (Duration, _)| until.saturating_sub(now).as_secs_f64().ceil() as u32;
        Facts {
            in_flight: desk.rooms.iter().map(|room| room.busy).sum(),
            waiting: desk.waiting.len(),
            rests: desk.rests.map(left).filter(|left| *left > 0),
            ..desk.facts
        }
    }

    /// Whether nothing runs and nobody waits.
    pub(crate) fn is_asleep(&self) -> bool {
        let facts = self.facts();
        facts.waiting == 0 && facts.instances.iter().all(|count| *count == 0)
    }

    /// In how long something is to be begun without a request, if anything is.
    pub(crate) fn wakes_in(&self) -> Option<Duration> {
        let at = self.lock().facts.planned;
        at.map(|at| at.saturating_sub(self.clock.elapsed()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
