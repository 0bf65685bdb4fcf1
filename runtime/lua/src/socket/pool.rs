//! Connections that wait for their next user, by the name of their pool.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pilotlight_filter::host::{Services, Wait};

use super::link::Link;
use super::words::debug;

/// A VM's pools. One is there as long as a connection is open that belongs to it.
pub(crate) struct Pools {
    all: RefCell<BTreeMap<Box<[u8]>, Rc<Pool>>>,
    services: Rc<dyn Services>,
    keeper: RefCell<Keeper>,
    this: Weak<Pools>,
}

/// One pool.
pub(crate) struct Pool {
    key: Box<[u8]>,
    /// Idle connections that it keeps; with a backlog, connections at all.
    size: usize,
    /// Users that may wait for a connection; `None`: nobody waits, any number is opened.
    backlog: Option<usize>,
    open: Cell<usize>,
    /// The last used first.
    idle: RefCell<VecDeque<Idle>>,
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
    pools: Weak<Pools>,
}

/// A connection's place in its pool, given back by drop.
pub(crate) struct Seat(Rc<Pool>);

/// A connection that nobody uses.
struct Idle {
    link: Link,
    seat: Seat,
    /// The time, in seconds of the monotonic clock, until which it is kept.
    until: f64,
}

/// What who wants a connection gets.
pub(crate) enum Joined {
    /// One that was idle.
    Link(Link, Seat),
    /// Leave to open one.
    Seat(Seat),
    /// A place in the queue.
    Queued(Ticketed),
    /// Nothing: the queue is full.
    Full,
}

/// A place in a pool's queue, given back by drop.
pub(crate) struct Ticketed {
    ticket: Rc<Ticket>,
    pool: Rc<Pool>,
}

#[derive(Default)]
struct Ticket {
    given: RefCell<Option<Given>>,
    waker: RefCell<Option<Waker>>,
}

enum Given {
    Link(Link, Seat),
    Seat(Seat),
}

/// The task that looks after idle connections.
#[derive(Default)]
struct Keeper {
    /// There while it runs.
    waker: Option<Waker>,
    /// When it looks next, whatever happens.
    next: f64,
}

impl Pools {
    pub(crate) fn new(services: Rc<dyn Services>) -> Rc<Pools> {
        Rc::new_cyclic(|this| Pools {
            all: RefCell::default(),
            services,
            keeper: RefCell::default(),
            this: this.clone(),
        })
    }

    /// The pool of this name, if there is one.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Rc<Pool>> {
        self.all.borrow().get(key).cloned()
    }

    /// The pool of this name; what it is made with when there is none yet.
    pub(crate) fn get_or_make(&self, key: &[u8], size: usize, backlog: Option<usize>) -> Rc<Pool> {
        if let Some(pool) = self.get(key) {
            return pool;
        }
        debug(&*self.services, || {
            let backlog = backlog.map_or(-1, |backlog| backlog as i64);
            format!("lua tcp socket connection pool size: {size}, backlog: {backlog}")
        });
        debug(&*self.services, || {
            let key = String::from_utf8_lossy(key);
            format!("lua tcp socket keepalive create connection pool for key \"{key}\"")
        });
        let pool = Rc::new(Pool {
            key: key.into(),
            size,
            backlog,
            open: Cell::new(0),
            idle: RefCell::default(),
            waiting: RefCell::default(),
            pools: self.this.clone(),
        });
        self.all.borrow_mut().insert(key.into(), pool.clone());
        pool
    }

    /// Looks at all idle connections: closes those whose time is over, and those whose peers have
    /// ended or speak out of turn. The time of the next look; `None` when none is left.
    fn look(&self, cx: &mut Context<'_>, now: f64) -> Option<f64> {
        let (mut closing, mut next) = (Vec::new(), None);
        for pool in self.all.borrow().values() {
            let mut idle = pool.idle.borrow_mut();
            let mut at = 0;
            while let Some(here) = idle.get_mut(at) {
                if here.until <= now || !here.link.is_silent(cx) {
                    closing.extend(idle.remove(at));
                    continue;
                }
                next = Some(here.until.min(next.unwrap_or(f64::INFINITY)));
                at += 1;
            }
        }
        for idle in closing {
            debug(&*self.services, || {
                format!("lua tcp socket keepalive close handler{}", idle.link.name)
            });
        }
        next
    }

    /// Makes the task that looks after idle connections run, or look earlier than it would.
    fn keep(&self, until: f64) {
        let mut keeper = self.keeper.borrow_mut();
        match &keeper.waker {
            Some(waker) if until < keeper.next => waker.wake_by_ref(),
            Some(_) => {}
            None => {
                keeper.waker = Some(Waker::noop().clone());
                drop(keeper);
                self.services.spawn(Box::pin(look_after(self.this.clone(), self.services.clone())));
            }
        }
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        // Idle connections hold their pool, which holds them.
        for pool in self.all.get_mut().values() {
            drop(pool.idle.take());
        }
        if let Some(waker) = self.keeper.get_mut().waker.take() {
            waker.wake();
        }
    }
}

/// Runs until no connection is idle.
async fn look_after(pools: Weak<Pools>, services: Rc<dyn Services>) {
    let mut sleep: Option<Wait<()>> = None;
    poll_fn(|cx| {
        loop {
            let Some(pools) = pools.upgrade() else { return Poll::Ready(()) };
            pools.keeper.borrow_mut().waker = Some(cx.waker().clone());
            let now = services.monotonic();
            let Some(next) = pools.look(cx, now) else {
                *pools.keeper.borrow_mut() = Keeper::default();
                return Poll::Ready(());
            };
            pools.keeper.borrow_mut().next = next;
            sleep = next.is_finite().then(|| services.sleep(Duration::from_secs_f64(next - now)));
            let Some(sleep) = &mut sleep else { return Poll::Pending };
            ready!(sleep.as_mut().poll(cx));
        }
    })
    .await;
}

impl Pool {
    /// Connections and those who wait for one.
    pub(crate) fn count(&self) -> usize {
        self.open.get() + self.waiting.borrow().len()
    }

    /// A connection, leave to open one, or a place in the queue.
    pub(crate) fn join(self: &Rc<Pool>) -> Joined {
        let idle = self.idle.borrow_mut().pop_front();
        if let Some(Idle { link, seat, .. }) = idle {
            return Joined::Link(link, seat);
        }
        let count = self.count() + 1;
        match self.backlog {
            Some(backlog) if count > self.size + backlog => Joined::Full,
            Some(_) if count > self.size => {
                let ticket = Rc::new(Ticket::default());
                self.waiting.borrow_mut().push_back(ticket.clone());
                Joined::Queued(Ticketed { ticket, pool: self.clone() })
            }
            _ => Joined::Seat(self.seat()),
        }
    }

    /// A place, whether or not there is room for it: the connection is open already.
    pub(crate) fn seat(self: &Rc<Pool>) -> Seat {
        self.open.set(self.open.get() + 1);
        Seat(self.clone())
    }

    /// A connection comes back: who waits longest gets it, or it is kept for `keep` seconds
    /// (`INFINITY`: as long as its peer does). The one that was not used for longest may go.
    pub(crate) fn put(self: &Rc<Pool>, link: Link, seat: Option<Seat>, keep: f64) {
        let seat = seat.filter(|seat| Rc::ptr_eq(&seat.0, self)).unwrap_or_else(|| self.seat());
        let next = self.waiting.borrow_mut().pop_front();
        if let Some(ticket) = next {
            return ticket.give(Given::Link(link, seat));
        }
        let Some(pools) = self.pools.upgrade() else { return };
        let until = pools.services.monotonic() + keep;
        let mut idle = self.idle.borrow_mut();
        let oldest = if idle.len() >= self.size { idle.pop_back() } else { None };
        idle.push_front(Idle { link, seat, until });
        drop(idle);
        drop(oldest);
        pools.watch(self);
        pools.keep(until);
    }
}

impl Pools {
    /// The task is woken by what the connection on top of a pool hears from now on.
    fn watch(&self, pool: &Pool) {
        let waker = self.keeper.borrow().waker.clone();
        if let (Some(waker), Some(idle)) = (waker, pool.idle.borrow_mut().front_mut())
            && !idle.link.is_silent(&mut Context::from_waker(&waker))
        {
            waker.wake();
        }
    }
}

impl Seat {
    /// The pool that it is of.
    pub(crate) fn pool(&self) -> &Rc<Pool> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let pool = &self.0;
        pool.open.set(pool.open.get() - 1);
        let next = pool.waiting.borrow_mut().pop_front();
        if let Some(ticket) = next {
            return ticket.give(Given::Seat(pool.seat()));
        }
        if pool.count() == 0
            && let Some(pools) = pool.pools.upgrade()
        {
            let mut all = pools.all.borrow_mut();
            if all.get(&pool.key).is_some_and(|known| Rc::ptr_eq(known, pool)) {
                all.remove(&pool.key);
                debug(&*pools.services, || {
                    let key = String::from_utf8_lossy(&pool.key);
                    format!("lua tcp socket keepalive: free connection pool for \"{key}\"")
                });
            }
        }
    }
}

impl Ticket {
    fn give(&self, given: Given) {
        *self.given.borrow_mut() = Some(given);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Ticketed {
    /// Ready with a connection or with leave to open one.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Joined> {
        match self.ticket.given.borrow_mut().take() {
            Some(Given::Link(link, seat)) => Poll::Ready(Joined::Link(link, seat)),
            Some(Given::Seat(seat)) => Poll::Ready(Joined::Seat(seat)),
            None => {
                *self.ticket.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Ticketed {
    fn drop(&mut self) {
        self.pool.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.ticket));
        // What it got but did not take goes on to the next.
        let given = self.ticket.given.borrow_mut().take();
        drop(given);
    }
}
