//! Connecting: out of a pool, or a name's addresses first, then one of them.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pilotlight_filter::Exchange;
use pilotlight_filter::host::{Connect, Names, Remote, Services, Socket, Wait};

use super::Sockets;
use super::link::{Link, Open};
use super::pool::{Joined, Pool, Seat, Ticketed};
use super::stream::{Stream, Wire};
use super::target::Target;
use super::waiting::{Operation, Outcome, Patience, Settled, begin};
use super::words::{Failure, TIMEOUT, UNIX, UPSTREAM, debug, named};
use crate::wait::Waiter;

/// What a script connects with.
pub(crate) struct Plan {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Its pool's name.
    pub(crate) key: Vec<u8>,
    /// A pool is made where there is none: its size, and how many may wait.
    pub(crate) pool: Option<(usize, Option<usize>)>,
    pub(crate) timeout: Duration,
    pub(crate) from: Option<SocketAddr>,
    pub(crate) transparent: bool,
}

struct Opening {
    target: Target,
    from: Option<SocketAddr>,
    transparent: bool,
    stage: Stage,
    seat: Option<Seat>,
    patience: Patience,
    services: Rc<dyn Services>,
    open: Rc<Cell<usize>>,
}

enum Stage {
    /// Others of the pool are first.
    Queued(Ticketed),
    /// Nothing is under way.
    Begin,
    Resolving(Wait<Result<Vec<IpAddr>, String>>),
    Connecting(Wait<io::Result<Box<dyn Socket>>>, Remote),
}

/// Connects a socket. One that is connected is closed first.
pub(crate) fn open(
    sockets: &Sockets,
    stream: Rc<RefCell<Stream>>,
    plan: Plan,
    services: Rc<dyn Services>,
) -> Result<Settled, Box<dyn Waiter>> {
    stream.borrow_mut().shut();
    let pool = match plan.pool {
        Some((size, backlog)) => Some(sockets.pools.get_or_make(&plan.key, size, backlog)),
        None => sockets.pools.get(&plan.key),
    };
    let (stage, seat) = match pool.as_ref().map(Pool::join) {
        None => (Stage::Begin, None),
        Some(Joined::Seat(seat)) => (Stage::Begin, Some(seat)),
        Some(Joined::Link(link, seat)) => {
            debug(&*services, || {
                format!("lua tcp socket get keepalive peer: using connection{}", link.name)
            });
            return Ok(adopt(&mut stream.borrow_mut(), link, seat));
        }
        Some(Joined::Queued(ticket)) => {
            debug(&*services, || {
                let key = String::from_utf8_lossy(&plan.key);
                let count = pool.as_ref().map_or(0, |pool| pool.count());
                format!(
                    "lua tcp socket queue connect operation for connection pool \"{key}\", connections: {count}"
                )
            });
            (Stage::Queued(ticket), None)
        }
        Some(Joined::Full) => {
            return Ok(Err(Failure::new("too many waiting connect operations")));
        }
    };
    let target = match Target::read(&plan.host, plan.port) {
        Ok(target) => target,
        Err(why) => return Ok(Err(Failure::new(why))),
    };
    let opening = Opening {
        target,
        from: plan.from,
        transparent: plan.transparent,
        stage,
        seat,
        patience: Patience::new(services.clone(), plan.timeout),
        services,
        open: sockets.open.clone(),
    };
    begin(stream, opening, None)
}

/// The stream goes on with a connection out of its pool.
fn adopt(stream: &mut Stream, mut link: Link, seat: Seat) -> Settled {
    link.reused += 1;
    stream.wire = Wire::Link(link);
    stream.seat = Some(seat);
    Ok(Outcome::Done)
}

impl Opening {
    /// Goes on to the next stage, until there is a connection or something to wait for.
    fn poll_stages(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<Settled> {
        loop {
            match &mut self.stage {
                Stage::Queued(ticket) => match ticket.poll(cx) {
                    Poll::Ready(Joined::Link(link, seat)) => {
                        return Poll::Ready(adopt(stream, link, seat));
                    }
                    Poll::Ready(joined) => {
                        if let Joined::Seat(seat) = joined {
                            self.seat = Some(seat);
                        }
                        self.patience.again();
                        self.stage = Stage::Begin;
                    }
                    Poll::Pending => {
                        ready!(self.patience.poll(cx));
                        let (host, port) = (self.target.host(), self.target.port());
                        let line = format!(
                            "lua tcp socket queued connect timed out, when trying to connect to {host}:{port}"
                        );
                        return Poll::Ready(Err(Failure::new(TIMEOUT).line(line)));
                    }
                },
                Stage::Begin => {
                    if self.open.get() >= pilotlight_filter::abi::limit::LUA_SOCKETS {
                        return Poll::Ready(Err(Failure::new("too many open sockets")));
                    }
                    self.stage = match &self.target {
                        Target::Address(address, port) => {
                            let to = Remote::Inet(SocketAddr::new(*address, *port));
                            self.connect(to)
                        }
                        Target::Unix(path) => self.connect(Remote::Unix(path.clone())),
                        Target::Name(name, _) => {
                            Stage::Resolving(self.services.resolve(name, Names::Manifest))
                        }
                    };
                }
                Stage::Resolving(wait) => match ready!(wait.as_mut().poll(cx)) {
                    Ok(addresses) => match pick(&*self.services, &addresses) {
                        Some(address) => {
                            let to = SocketAddr::new(address, self.target.port());
                            self.stage = self.connect(Remote::Inet(to));
                        }
                        None => return Poll::Ready(Err(Failure::new("resolver not working"))),
                    },
                    Err(why) => return Poll::Ready(Err(Failure::new(why))),
                },
                Stage::Connecting(wait, to) => {
                    let polled = wait.as_mut().poll(cx);
                    let address = match to {
                        Remote::Inet(address) => address.ip().to_string(),
                        Remote::Unix(path) => format!("unix:{}", path.display()),
                    };
                    let name = named(&self.target.host(), self.target.port(), &address);
                    return match polled {
                        Poll::Ready(Ok(socket)) => {
                            Poll::Ready(self.connected(stream, socket, &name))
                        }
                        Poll::Ready(Err(error)) => Poll::Ready(Err(self.failed(&error, &name))),
                        Poll::Pending => {
                            ready!(self.patience.poll(cx));
                            let line = format!("lua tcp socket connect timed out{name}");
                            Poll::Ready(Err(Failure::new(TIMEOUT).line(line)))
                        }
                    };
                }
            }
        }
    }

    fn connect(&self, to: Remote) -> Stage {
        let (from, transparent) = (self.from, self.transparent);
        let wait = self.services.connect(Connect { to: to.clone(), from, transparent });
        Stage::Connecting(wait, to)
    }

    fn connected(&mut self, stream: &mut Stream, socket: Box<dyn Socket>, name: &str) -> Settled {
        let Some(open) = Open::one_more(&self.open) else {
            return Err(Failure::new("too many open sockets"));
        };
        let link = Link { socket, name: name.into(), reused: 0, session: None, open };
        stream.wire = Wire::Link(link);
        stream.seat = self.seat.take();
        Ok(Outcome::Done)
    }

    fn failed(&self, error: &io::Error, name: &str) -> Failure {
        let call = match (error.kind(), self.from) {
            (io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse, Some(from)) => {
                format!("bind({})", from.ip())
            }
            _ if name.starts_with(UNIX) => {
                let path = &name[UPSTREAM.len()..];
                format!("connect() to {}", path.split('(').next().unwrap_or(path))
            }
            _ => "connect()".to_owned(),
        };
        Failure::system(&call, error, name)
    }
}

/// One of the addresses, by chance.
pub(super) fn pick(services: &dyn Services, addresses: &[IpAddr]) -> Option<IpAddr> {
    let mut random = [0; 4];
    services.random(&mut random);
    let at = u32::from_ne_bytes(random) as usize;
    addresses.get(at % addresses.len().max(1)).copied()
}

impl Operation for Opening {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        _: Option<&mut Exchange>,
    ) -> Poll<Settled> {
        let settled = ready!(self.poll_stages(cx, stream));
        if settled.is_err() {
            // Whoever waits in the pool's queue is next.
            self.seat = None;
            self.stage = Stage::Begin;
        }
        Poll::Ready(settled)
    }

    fn mark(stream: &mut Stream, busy: bool) {
        stream.connecting = busy;
    }
}
