//! The sockets of a listener: bound by us, or handed over by the service manager.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use pilotlight_config::manifest::{Address, Listener as Meant};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::park::{self, Held, Kind, Woken};
use crate::quic::{Elders, Passage};

/// Connections that wait to be accepted, a socket.
const BACKLOG: i32 = 4096;

/// The sockets of one listener for one worker.
#[derive(Default)]
pub(crate) struct Sockets {
    pub(crate) stream: Option<Socket>,
    pub(crate) datagram: Option<Socket>,
    /// To the processes that have the same socket of datagrams.
    pub(crate) passage: Passage,
}

/// The sockets of one listener.
pub(crate) struct Opened {
    /// By worker; sockets of datagrams that there are more of go round.
    pub(crate) workers: Vec<Sockets>,
    /// Of workers that were there before sleep and are no more: what waits in them is served first.
    pub(crate) left_over: Vec<Sockets>,
}

impl Sockets {
    pub(crate) fn is_empty(&self) -> bool {
        self.stream.is_none() && self.datagram.is_none()
    }

    /// Other handles of the same sockets.
    ///
    /// # Errors
    /// When the system gives no descriptor.
    pub(crate) fn another(&self) -> io::Result<Sockets> {
        let another = |socket: &Option<Socket>| socket.as_ref().map(Socket::try_clone).transpose();
        Ok(Sockets {
            stream: another(&self.stream)?,
            datagram: another(&self.datagram)?,
            passage: self.passage.clone(),
        })
    }
}

/// What a listener's sockets are called from one form of the gateway to the next.
pub(crate) fn name(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
        Address::Inherited(name) => format!("systemd:{name}"),
    }
}

/// Opens a listener's sockets for so many workers, or finds them where the gateway was asleep.
///
/// # Errors
/// As the system says; an address in use is the usual one.
pub(crate) fn open(meant: &Meant, workers: usize, woken: Option<&Woken>) -> io::Result<Opened> {
    let key = name(&meant.address);
    let found = |kind, worker| woken.and_then(|woken| woken.socket(&key, kind, worker));
    let elders = woken.map_or(0, |woken| woken.count(&key, Kind::Passage));
    let elders = Elders::new((0..elders).map(|socket| found(Kind::Passage, socket)));
    let passage = |socket| Passage::new(socket, &elders);
    let wants_stream = meant.has_streams();
    let mut all = Vec::with_capacity(workers);
    match &meant.address {
        Address::Tcp(address) => {
            let mut address = *address;
            // Clients know the sockets that there are: all of them stay, also past the workers.
            let datagrams = woken.map_or(0, |woken| woken.count(&key, Kind::Datagram));
            for worker in 0..if meant.http3 { workers.max(datagrams) } else { workers } {
                let stream = || found(Kind::Stream, worker).map_or_else(|| tcp(address), Ok);
                let stream = (wants_stream && worker < workers).then(stream).transpose()?;
                // Port 0: the first socket picks, the others follow.
                if let Some(bound) = stream.as_ref().and_then(|s| s.local_addr().ok()?.as_socket())
                {
                    address = bound;
                }
                let datagram = || found(Kind::Datagram, worker).map_or_else(|| udp(address), Ok);
                let datagram = meant.http3.then(datagram).transpose()?;
                all.push(Sockets { stream, datagram, passage: passage(worker) });
            }
        }
        Address::Unix(path) => {
            let socket = found(Kind::Stream, 0).map_or_else(|| unix(path), Ok)?;
            for _ in 0..workers {
                let stream = Some(socket.try_clone()?);
                all.push(Sockets { stream, datagram: None, passage: Passage::default() });
            }
        }
        Address::Inherited(name) => {
            let (streams, datagrams) = inherited(name)?;
            let missing = |what: &str| {
                let text = format!("no {what} socket named \"{name}\" was handed over");
                io::Error::new(ErrorKind::NotFound, text)
            };
            if wants_stream && streams.is_empty() {
                return Err(missing("stream"));
            }
            if meant.http3 && datagrams.is_empty() {
                return Err(missing("datagram"));
            }
            for worker in 0..workers {
                // Workers share what accepts; a socket of QUIC's belongs to one.
                let stream = streams.get(worker % streams.len().max(1)).filter(|_| wants_stream);
                let datagram = datagrams.get(worker).filter(|_| meant.http3);
                let sockets = (stream.map(Socket::try_clone), datagram.map(Socket::try_clone));
                all.push(Sockets {
                    stream: sockets.0.transpose()?,
                    datagram: sockets.1.transpose()?,
                    passage: passage(worker),
                });
            }
        }
    }
    let left_over = match (&meant.address, woken) {
        (Address::Tcp(_), Some(woken)) if wants_stream => {
            let streams = woken.left_over(&key, Kind::Stream, workers).into_iter();
            let alone = |stream| Sockets {
                stream: Some(stream),
                datagram: None,
                passage: Passage::default(),
            };
            streams.map(alone).collect()
        }
        _ => Vec::new(),
    };
    Ok(Opened { workers: all, left_over })
}

/// One more socket that accepts what an open one does: of its own where there can be many, else another handle.
///
/// # Errors
/// As the system says.
pub(crate) fn one_more(meant: &Meant, open: &Socket) -> io::Result<Socket> {
    match (&meant.address, open.local_addr()?.as_socket()) {
        (Address::Tcp(_), Some(bound)) => tcp(bound),
        _ => open.try_clone(),
    }
}

/// A listener's sockets as they stay open through sleep: each once, where workers share one.
pub(crate) fn held(meant: &Meant, sockets: Vec<Sockets>) -> Vec<Held> {
    let shared = matches!(meant.address, Address::Unix(_));
    let plain = meant.http1 && meant.tls.is_none() && !meant.proxy_protocol;
    let held = |socket, kind, worker| {
        let plain = plain && kind == Kind::Stream;
        Held { socket, kind, plain, worker, key: name(&meant.address) }
    };
    let mut all = Vec::new();
    for (worker, sockets) in sockets.into_iter().enumerate() {
        let stream = sockets.stream.filter(|_| worker == 0 || !shared);
        all.extend(stream.map(|socket| held(socket, Kind::Stream, worker)));
        all.extend(sockets.datagram.map(|socket| held(socket, Kind::Datagram, worker)));
    }
    all
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Best effort: the kernel caps it at net.core.rmem_max.
    drop(socket.set_recv_buffer_size(2 << 20));
    socket.bind(&address.into())?;
    Ok(socket)
}

fn unix(path: &Path) -> io::Result<Socket> {
    // A socket file that nobody listens on is left over from a process that was killed.
    let stale = std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
    if stale {
        std::fs::remove_file(path)?;
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// The sockets of a name that the service manager holds for us (sd_listen_fds(3)): those that accept,
/// and those of datagrams.
fn inherited(name: &str) -> io::Result<(Vec<Socket>, Vec<Socket>)> {
    let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
    for fd in named(name) {
        let socket = Socket::from(fd?);
        socket.set_nonblocking(true)?;
        let (kind, list) = match socket.r#type()? {
            Type::DGRAM => (Kind::Datagram, &mut datagrams),
            _ => (Kind::Stream, &mut streams),
        };
        // An earlier process may have left it hushed.
        park::rouse(socket.as_raw_fd(), kind);
        list.push(socket);
    }
    Ok((streams, datagrams))
}

/// Handles of the descriptors of a name.
fn named(name: &str) -> Vec<io::Result<OwnedFd>> {
    let names = var("LISTEN_FDNAMES").filter(|_| is_activated()).unwrap_or_default();
    let fit = (3..).zip(names.split(':')).filter(|(_, given)| *given == name);
    // SAFETY: the manager's protocol says that descriptors from 3 on are open and ours.
    fit.map(|(fd, _)| unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()).collect()
}

/// A descriptor that an earlier process left with the service manager.
pub(crate) fn handed(name: &str) -> Option<OwnedFd> {
    named(name).into_iter().find_map(Result::ok)
}

/// The port of sockets that the service manager holds.
pub(crate) fn port(name: &str) -> Option<u16> {
    Socket::from(handed(name)?).local_addr().ok()?.as_socket().map(|address| address.port())
}

/// How many descriptors were handed over whose names mean nothing here: the manager keeps those, too.
pub(crate) fn handed_but(is_known: impl Fn(&str) -> bool) -> usize {
    let names = var("LISTEN_FDNAMES").filter(|_| is_activated()).unwrap_or_default();
    names.split(':').filter(|name| !name.is_empty() && !is_known(name)).count()
}

/// Whether a service manager holds sockets for this process.
pub(crate) fn is_activated() -> bool {
    var("LISTEN_PID").and_then(|p| p.parse().ok()) == Some(std::process::id())
}

#[allow(clippy::disallowed_methods)]
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
