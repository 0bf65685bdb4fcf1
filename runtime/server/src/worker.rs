//! A worker: one thread, one event loop, and everything that its exchanges share without a lock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pilotlight_filter::exchange::Request;
use pilotlight_filter::{Exchange, Peer};
use tokio::sync::watch;

use crate::clock::{self, Clock};
use crate::codec::h1::head::Bounds;
use crate::control::Control;
use crate::date::Date;
use crate::generation::{Listener, Local};
use crate::idle::{Idle, Memory};
use crate::log::Log;
use crate::metrics::{Connected, Protocol, Shard};
use crate::pace::Pace;
use crate::timer::Timers;

/// Serials never repeat between workers, of which there are at most 1,024, and scripts hold them
/// as doubles, which are exact up to 2^53: each worker has so many bits of its own.
const SERIALS: u32 = 43;

/// What a worker's tasks share.
pub(crate) struct Worker {
    /// Its place among the workers.
    index: usize,
    pub(crate) clock: Clock,
    date: Date,
    pub(crate) timers: Rc<Timers>,
    pub(crate) buffers: Buffers,
    pub(crate) spares: Spares,
    pub(crate) metrics: Arc<Shard>,
    pub(crate) log: Arc<Log>,
    pub(crate) control: Arc<Control>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) idle: Rc<Idle>,
    pub(crate) pace: Pace,
    /// Loops that accept.
    pub(crate) accepting: Rc<Cell<usize>>,
    /// Connections of which it is not known yet whether they mean work.
    probing: Rc<Cell<usize>>,
    /// True once this gateway ends: connections close when their exchange is over.
    pub(crate) draining: watch::Receiver<bool>,
    /// There are fewer CPUs than workers: its connections go to others when they come back.
    pub(crate) retired: Cell<bool>,
    local: RefCell<Rc<Local>>,
    serial: Cell<u64>,
    random: Cell<u64>,
    /// Exchanges under way that nobody waits for; `metrics` has all of them.
    lingering: Rc<Cell<usize>>,
    /// Connections of clients.
    pub(crate) connections: Rc<Cell<usize>>,
    /// Connections so far.
    numbered: Cell<u64>,
}

/// Where a connection came in: what all its exchanges share.
pub(crate) struct Inlet {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) peer: Rc<Peer>,
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        clock: Clock,
        control: Arc<Control>,
        draining: watch::Receiver<bool>,
    ) -> Rc<Worker> {
        let mut seed = [0; 8];
        clock::random(&mut seed);
        let timers = Timers::new(clock);
        let generation = control.generation();
        Rc::new_cyclic(|worker| Worker {
            index,
            clock,
            date: Date::default(),
            timers,
            buffers: Buffers::default(),
            spares: Spares::default(),
            metrics: control.metrics.shard(index),
            log: control.log.clone(),
            memory: control.memory.clone(),
            idle: Rc::default(),
            pace: Pace::default(),
            accepting: Rc::default(),
            probing: Rc::default(),
            draining,
            retired: Cell::new(false),
            local: RefCell::new(Local::open(generation, worker.clone(), clock, None)),
            control,
            serial: Cell::new((index as u64) << SERIALS),
            random: Cell::new(u64::from_ne_bytes(seed) | 1),
            lingering: Rc::default(),
            connections: Rc::default(),
            numbered: Cell::new(0),
        })
    }

    /// This worker's side of the newest generation; an exchange keeps the one it began with.
    pub(crate) fn local(self: &Rc<Worker>) -> Rc<Local> {
        let local = self.local.borrow();
        if local.generation.number == self.control.number() {
            return local.clone();
        }
        drop(local);
        self.renew()
    }

    /// The `Date` of a response that begins now.
    pub(crate) fn date(&self) -> impl AsRef<[u8]> {
        self.date.at(self.clock.wall())
    }

    /// Whether connections should end after their exchange.
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow() || self.retired.get()
    }

    /// Its place among the workers, and how many there are.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.index, self.control.workers.load(Ordering::Relaxed))
    }

    /// The number of a new connection.
    pub(crate) fn number_connection(&self) -> u64 {
        self.numbered.set(self.numbered.get() + 1);
        self.numbered.get()
    }

    /// A number that no other exchange of this process has.
    pub(crate) fn serial(&self) -> u64 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }

    /// A number that is hard to guess from the outside but no secret: ids, picks, jitter (xorshift64*).
    pub(crate) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Grows with each exchange, and changes with connections.
    pub(crate) fn work(&self) -> (u64, usize) {
        (self.serial.get(), self.connections.get())
    }

    /// Tells the metrics what the engines hold and have done here.
    pub(crate) fn tell_gauges(self: &Rc<Worker>) {
        let mut gauges = Vec::new();
        for realm in &self.local().realms {
            realm.gauges(&mut |name, label, value| gauges.push((name, label.to_owned(), value)));
        }
        self.metrics.set_gauges(gauges);
    }

    /// Leave for one more connection of a listener, given back by drop.
    pub(crate) fn admit(&self, listener: &Listener) -> Option<Admitted> {
        let open = listener.open.clone();
        let before = open.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(open);
        (before < listener.settings.limits.connections).then_some(admitted)
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn count(&self) -> Connection {
        self.idle.wake();
        Connection { counted: Counted::new(&self.connections), idle: self.idle.clone() }
    }

    /// Counts a loop that accepts until the guard is dropped.
    pub(crate) fn accepting(&self) -> Counted {
        Counted::new(&self.accepting)
    }

    /// A connection is looked at, which is no work.
    pub(crate) fn probe(&self) -> Counted {
        Counted::new(&self.probing)
    }

    /// Whether nothing would be lost if this worker were not there any more.
    pub(crate) fn is_quiet(self: &Rc<Worker>) -> bool {
        let counts = [&self.connections, &self.lingering, &self.probing];
        counts.iter().all(|count| count.get() == 0)
            && self.metrics.open() == 0
            && !self.local().realms.iter().any(|realm| realm.is_busy())
    }

    /// Leave for an exchange to go on when nobody waits for it, given back by drop. Clients that come
    /// and leave can't have more of them than this.
    pub(crate) fn linger(&self) -> Option<Counted> {
        let most = self.lingering.get() < LINGERING_MAX;
        most.then(|| Counted::new(&self.lingering))
    }

    #[cold]
    fn renew(self: &Rc<Worker>) -> Rc<Local> {
        let old = self.local.borrow().clone();
        let generation = self.control.generation();
        let new = Local::open(generation, Rc::downgrade(self), self.clock, Some(&old));
        *self.local.borrow_mut() = new.clone();
        new
    }
}

impl Inlet {
    /// What a request's head may come to here.
    pub(crate) fn bounds(&self) -> Bounds {
        let limits = &self.listener.settings.limits;
        Bounds { bytes: limits.header_bytes, fields: limits.headers, uri: limits.uri_bytes }
    }

    /// Counts the connection until the guard is dropped.
    pub(crate) fn connected(&self, protocol: Protocol) -> Connected {
        let generation = self.worker.control.generation();
        self.worker.metrics.connection(&generation.series, self.listener.index, protocol)
    }
}

/// A connection that counts against its listener's limit.
pub(crate) struct Admitted(Arc<AtomicUsize>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Exchanges of a worker that go on without a client.
const LINGERING_MAX: usize = 1024;

/// An open connection. When the last of a worker ends, it may fall idle.
pub(crate) struct Connection {
    counted: Counted,
    idle: Rc<Idle>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.counted.0.get() == 1 {
            self.idle.wake();
        }
    }
}

/// Counts as one of those that are under way.
pub(crate) struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(count: &Rc<Cell<usize>>) -> Counted {
        count.set(count.get() + 1);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Exchanges that ended, for their memory.
#[derive(Default)]
pub(crate) struct Spares {
    #[expect(clippy::vec_box, reason = "they are taken and given back as pointers")]
    free: RefCell<Vec<Box<Exchange>>>,
}

/// Spare exchanges kept by a worker.
const SPARES_MAX: usize = 64;

impl Spares {
    /// An exchange without a request, for a connection of `peer`.
    pub(crate) fn take(&self, peer: &Rc<Peer>) -> Box<Exchange> {
        match self.free.borrow_mut().pop() {
            Some(mut exchange) => {
                exchange.peer = peer.clone();
                exchange
            }
            None => Box::new(Exchange::new(0, peer.clone(), Request::default())),
        }
    }

    /// Keeps none.
    pub(crate) fn clear(&self) {
        self.free.take();
    }

    /// Gives one back that was renewed. Its heads must hold no large arenas.
    pub(crate) fn put(&self, exchange: Box<Exchange>) {
        let mut free = self.free.borrow_mut();
        if free.len() < SPARES_MAX {
            free.push(exchange);
        }
    }
}

/// Read and write buffers that connections hold only while they have something to do.
#[derive(Default)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
}

/// Bytes of a fresh buffer.
pub(crate) const BUFFER: usize = 8 * 1024;
/// Buffers kept for reuse by a worker: 1 MiB.
const BUFFERS_MAX: usize = 128;

impl Buffers {
    /// An empty buffer with room for at least [`BUFFER`] bytes.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Keeps none.
    pub(crate) fn clear(&self) {
        self.free.take();
    }

    /// Gives one back.
    pub(crate) fn put(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if (BUFFER..=4 * BUFFER).contains(&buffer.capacity()) && free.len() < BUFFERS_MAX {
            buffer.clear();
            free.push(buffer);
        }
    }
}
