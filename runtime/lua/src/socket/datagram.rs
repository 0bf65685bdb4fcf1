//! Sockets for datagrams.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pilotlight_filter::Exchange;
use pilotlight_filter::host::{Datagram, Names, Remote, Services, Wait};

use super::link::Open;
use super::open::pick;
use super::target::Target;
use super::waiting::{Outcome, Patience, Settled, results};
use super::words::{CLOSED, Failure, TIMEOUT, named};
use super::{Close, Owner, Place, Sockets};
use crate::wait::{Answer, Waiter};

/// The largest datagram, and more.
pub(crate) const DATAGRAM_MAX: usize = 65_536;

/// A script's socket for datagrams of one peer.
pub(crate) struct Peer {
    place: Place,
    socket: Option<(Box<dyn Datagram>, Open)>,
    /// How log lines name it.
    name: String,
    busy: bool,
}

type Shared = Rc<RefCell<Peer>>;

impl Peer {
    /// A socket without a peer.
    pub(crate) fn new(sockets: &Sockets, owner: Owner) -> Shared {
        sockets.add(owner, |place| {
            RefCell::new(Peer { place, socket: None, name: String::new(), busy: false })
        })
    }

    pub(crate) fn is_stranded(&self) -> bool {
        self.place.is_stranded()
    }

    pub(crate) fn owner(&self) -> Owner {
        self.place.owner()
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.socket.is_none() && !self.busy
    }

    /// Closes it as if it had never had a peer.
    pub(crate) fn shut(&mut self) {
        (self.socket, self.busy) = (None, false);
    }

    /// Sends a datagram; it goes at once or not at all.
    pub(crate) fn send(&mut self, data: &[u8]) -> Settled {
        let Some((socket, _)) = &mut self.socket else { return Err(Failure::new(CLOSED)) };
        match socket.poll_send(&mut Context::from_waker(Waker::noop()), data) {
            Poll::Ready(Ok(sent)) if sent == data.len() => Ok(Outcome::Done),
            Poll::Ready(Ok(_)) => Err(Failure::new("partial write")),
            Poll::Ready(Err(error)) => Err(Failure::system("send()", &error, &self.name)),
            Poll::Pending => Err(Failure::new("resource temporarily unavailable")),
        }
    }
}

impl Close for RefCell<Peer> {
    fn close(&self, stranded: bool) {
        if let Ok(mut peer) = self.try_borrow_mut() {
            peer.place.strand(stranded);
            peer.shut();
        }
    }
}

/// Gives a socket its peer: a name's addresses come first.
pub(crate) fn set_peer(
    sockets: &Sockets,
    peer: &Shared,
    (host, port): (&str, u16),
    from: Option<IpAddr>,
    services: &Rc<dyn Services>,
) -> Result<Settled, Box<dyn Waiter>> {
    peer.borrow_mut().shut();
    let target = match Target::read(host, port) {
        Ok(target) => target,
        Err(why) => return Ok(Err(Failure::new(why))),
    };
    let from = from.map(|address| SocketAddr::new(address, 0));
    let Some(open) = Open::one_more(&sockets.open) else {
        return Ok(Err(Failure::new("too many open sockets")));
    };
    let to = match &target {
        Target::Address(address, port) => Remote::Inet(SocketAddr::new(*address, *port)),
        Target::Unix(path) => Remote::Unix(path.clone()),
        Target::Name(name, _) => {
            let wait = services.resolve(name, Names::Manifest);
            peer.borrow_mut().busy = true;
            let (peer, services) = (peer.clone(), services.clone());
            let resolving = Resolving { wait, target, from, services, open: Some(open) };
            return Err(Box::new(Waiting { peer, operation: Some(resolving) }));
        }
    };
    Ok(connect(&mut peer.borrow_mut(), &**services, &target, &to, from, open))
}

fn connect(
    peer: &mut Peer,
    services: &dyn Services,
    target: &Target,
    to: &Remote,
    from: Option<SocketAddr>,
    open: Open,
) -> Settled {
    let address = match to {
        Remote::Inet(address) => address.ip().to_string(),
        Remote::Unix(_) => target.host(),
    };
    peer.name = named(&target.host(), target.port(), &address);
    match services.datagram(to, from) {
        Ok(socket) => {
            peer.socket = Some((socket, open));
            Ok(Outcome::Done)
        }
        Err(error) => Err(Failure::system("connect()", &error, &peer.name)),
    }
}

/// Waits for a datagram, of which `most` bytes are taken.
pub(crate) fn receive(
    peer: &Shared,
    most: usize,
    timeout: Duration,
    services: Rc<dyn Services>,
) -> Result<Settled, Box<dyn Waiter>> {
    let mut receiving = Receiving { most, patience: Patience::new(services, timeout) };
    let mut cx = Context::from_waker(Waker::noop());
    let polled = receiving.poll(&mut cx, &mut peer.borrow_mut());
    match polled {
        Poll::Ready(settled) => Ok(settled),
        Poll::Pending => {
            peer.borrow_mut().busy = true;
            Err(Box::new(Waiting { peer: peer.clone(), operation: Some(receiving) }))
        }
    }
}

trait Operation {
    fn poll(&mut self, cx: &mut Context<'_>, peer: &mut Peer) -> Poll<Settled>;
}

struct Resolving {
    wait: Wait<Result<Vec<IpAddr>, String>>,
    target: Target,
    from: Option<SocketAddr>,
    services: Rc<dyn Services>,
    open: Option<Open>,
}

impl Operation for Resolving {
    fn poll(&mut self, cx: &mut Context<'_>, peer: &mut Peer) -> Poll<Settled> {
        let addresses = match ready!(self.wait.as_mut().poll(cx)) {
            Ok(addresses) => addresses,
            Err(why) => return Poll::Ready(Err(Failure::new(why))),
        };
        let (Some(address), Some(open)) = (pick(&*self.services, &addresses), self.open.take())
        else {
            return Poll::Ready(Err(Failure::new("resolver not working")));
        };
        let to = Remote::Inet(SocketAddr::new(address, self.target.port()));
        Poll::Ready(connect(peer, &*self.services, &self.target, &to, self.from, open))
    }
}

struct Receiving {
    most: usize,
    patience: Patience,
}

impl Operation for Receiving {
    fn poll(&mut self, cx: &mut Context<'_>, peer: &mut Peer) -> Poll<Settled> {
        let Some((socket, _)) = &mut peer.socket else {
            return Poll::Ready(Err(Failure::new(CLOSED)));
        };
        let mut data = Vec::new();
        Poll::Ready(match socket.poll_receive(cx, &mut data, self.most) {
            Poll::Ready(Ok(_)) => Ok(Outcome::Data(data, false)),
            Poll::Ready(Err(error)) => Err(Failure::system("recv()", &error, &peer.name)),
            Poll::Pending => {
                ready!(self.patience.poll(cx));
                let line = format!("lua udp socket read timed out{}", peer.name);
                Err(Failure::new(TIMEOUT).line(line))
            }
        })
    }
}

/// An operation that a script waits for. Dropping it closes its socket.
struct Waiting<T: Operation> {
    peer: Shared,
    operation: Option<T>,
}

impl<T: Operation> Waiter for Waiting<T> {
    fn poll(&mut self, cx: &mut Context<'_>, _: Option<&mut Exchange>) -> Poll<Answer> {
        let Some(operation) = &mut self.operation else { return Poll::Ready(Answer::Nothing) };
        let mut peer = self.peer.borrow_mut();
        let settled = ready!(operation.poll(cx, &mut peer));
        peer.busy = false;
        self.operation = None;
        Poll::Ready(Answer::Values(results(settled)))
    }
}

impl<T: Operation> Drop for Waiting<T> {
    fn drop(&mut self) {
        if self.operation.take().is_some() {
            self.peer.borrow_mut().shut();
        }
    }
}
