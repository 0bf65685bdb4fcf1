//! Sockets of scripts: connections and datagrams that they open, pools of connections, Redis.
//!
//! ```text
//! prelude ─▶ calls/socket ─▶ Stream ─┬─ Link: an open connection ◀─▶ Pool: those that nobody uses
//!                                    ├─ Input: what came and was not taken
//!                                    └─ Waiting: a connect, handshake, read or write that goes on
//! ```
//! A socket belongs to the exchange that made it: it is closed when that ends, or when Lua has
//! collected the script's table for it, whichever is first.

pub(crate) mod datagram;
pub(crate) mod handshake;
mod input;
pub(crate) mod keepalive;
mod link;
pub(crate) mod open;
mod pool;
pub(crate) mod receive;
pub(crate) mod redis;
pub(crate) mod send;
pub(crate) mod stream;
mod target;
mod until;
mod waiting;
mod words;

pub(crate) use input::Want;
pub(crate) use link::Open;
pub(crate) use waiting::{Settled, results};
pub(crate) use words::{BAD_REQUEST, CLOSED, Failure};

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use pilotlight_filter::Exchange;
use pilotlight_filter::host::Services;

use pool::Pools;

/// A VM's sockets.
pub(crate) struct Sockets {
    members: Rc<Members>,
    /// Connections that are open, idle ones too.
    open: Rc<Cell<usize>>,
    pools: Rc<Pools>,
}

/// Whose sockets are whose.
#[derive(Default)]
struct Members {
    all: RefCell<BTreeMap<(Owner, u64), Weak<dyn Close>>>,
    next: Cell<u64>,
}

/// An exchange's serial number, or a task's, as scripts have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner(u64);

impl Owner {
    pub(crate) fn new(serial: f64) -> Owner {
        Owner(serial.to_bits())
    }
}

/// What ends with its owner.
trait Close {
    /// `stranded`: the exchange was a subrequest's, whose parent may still hold the script's table.
    fn close(&self, stranded: bool);
}

/// A socket's place among those of its owner, given back by drop.
pub(crate) struct Place {
    owner: Owner,
    number: u64,
    members: Weak<Members>,
    /// Its owner has ended before the client's request did.
    stranded: Cell<bool>,
}

impl Sockets {
    pub(crate) fn new(services: Rc<dyn Services>) -> Sockets {
        Sockets { members: Rc::default(), open: Rc::default(), pools: Pools::new(services) }
    }

    /// Leave to have one more connection open.
    pub(crate) fn one_more(&self) -> Option<Open> {
        Open::one_more(&self.open)
    }

    /// Makes a socket of `owner`'s.
    fn add<T: Close + 'static>(&self, owner: Owner, make: impl FnOnce(Place) -> T) -> Rc<T> {
        let members = &self.members;
        let number = members.next.replace(members.next.get() + 1);
        let made = Rc::new(make(Place {
            owner,
            number,
            members: Rc::downgrade(members),
            stranded: Cell::new(false),
        }));
        let weak: Weak<dyn Close> = Rc::<T>::downgrade(&made);
        members.all.borrow_mut().insert((owner, number), weak);
        made
    }

    /// Whether something that an exchange keeps closes what its scripts have opened here.
    fn is_end(&self, kept: &dyn Any) -> bool {
        let end = kept.downcast_ref::<End>();
        end.is_some_and(|end| Weak::ptr_eq(&end.members, &Rc::downgrade(&self.members)))
    }

    /// Closes what the exchange's scripts have opened here.
    pub(crate) fn end_now(&self, exchange: &mut Exchange) {
        exchange.kept.retain(|kept| !self.is_end(&**kept));
    }

    /// What the exchange's scripts open here is closed when it ends.
    pub(crate) fn end_with(&self, exchange: &mut Exchange) {
        if !exchange.kept.iter().any(|kept| self.is_end(&**kept)) {
            let mut end = self.end_of(Owner::new(exchange.serial as f64));
            end.stranded = exchange.parent.is_some();
            exchange.kept.push(Box::new(end));
        }
    }

    /// Closes what `owner` has when it is dropped.
    pub(crate) fn end_of(&self, owner: Owner) -> End {
        End { owner, members: Rc::downgrade(&self.members), stranded: false }
    }
}

impl Members {
    fn end(&self, owner: Owner, stranded: bool) {
        let (from, to) = ((owner, 0), (owner, u64::MAX));
        let members = self.all.borrow();
        let of_owner: Vec<_> = members.range(from..=to).filter_map(|(_, m)| m.upgrade()).collect();
        drop(members);
        of_owner.iter().for_each(|member| member.close(stranded));
    }
}

/// The end of an owner.
pub(crate) struct End {
    owner: Owner,
    members: Weak<Members>,
    stranded: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(members) = self.members.upgrade() {
            members.end(self.owner, self.stranded);
        }
    }
}

impl Place {
    /// Its owner has ended, but the client's request may not have.
    fn strand(&self, stranded: bool) {
        self.stranded.set(stranded);
    }

    /// Whether it is closed only because it was a subrequest's: a script of another has no right to it.
    pub(crate) fn is_stranded(&self) -> bool {
        self.stranded.get()
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(members) = self.members.upgrade() {
            members.all.borrow_mut().remove(&(self.owner, self.number));
        }
    }
}
