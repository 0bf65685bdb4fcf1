//! The sockets of a listener: bound by us, or handed over by the service manager.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

use pilotlight_config::manifest::{Address, Listener as Meant};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that wait to be accepted, a socket.
const BACKLOG: i32 = 4096;

/// The sockets of one listener for one worker.
pub(crate) struct Sockets {
    pub(crate) stream: Option<Socket>,
    pub(crate) datagram: Option<Socket>,
}

/// Opens a listener's sockets for so many workers.
///
/// # Errors
/// As the system says; an address in use is the usual one.
pub(crate) fn open(meant: &Meant, workers: usize) -> io::Result<Vec<Sockets>> {
    match &meant.address {
        Address::Tcp(address) => {
            let mut all = Vec::with_capacity(workers);
            let mut address = *address;
            for _ in 0..workers {
                let stream = meant.has_streams().then(|| tcp(address)).transpose()?;
                // Port 0: the first socket picks, the others follow.
                if let Some(bound) = stream.as_ref().and_then(|s| s.local_addr().ok()?.as_socket())
                {
                    address = bound;
                }
                let datagram = meant.http3.then(|| udp(address)).transpose()?;
                all.push(Sockets { stream, datagram });
            }
            Ok(all)
        }
        Address::Unix(path) => split(&unix(path)?, workers),
        Address::Inherited(name) => split(&inherited(name)?, workers),
    }
}

/// One socket that all workers accept on.
fn split(socket: &Socket, workers: usize) -> io::Result<Vec<Sockets>> {
    let one = |_| Ok(Sockets { stream: Some(socket.try_clone()?), datagram: None });
    (0..workers).map(one).collect()
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

/// A socket that the service manager holds for us (sd_listen_fds(3)).
fn inherited(name: &str) -> io::Result<Socket> {
    let missing = || {
        io::Error::new(ErrorKind::NotFound, format!("no socket named \"{name}\" was handed over"))
    };
    let ours = var("LISTEN_PID").and_then(|p| p.parse().ok()) == Some(std::process::id());
    let names = var("LISTEN_FDNAMES").filter(|_| ours).ok_or_else(missing)?;
    let place = names.split(':').position(|n| n == name).ok_or_else(missing)?;
    // SAFETY: the manager's protocol says that descriptors from 3 on are open and ours.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(3 + place as i32) };
    let fd: OwnedFd = borrowed.try_clone_to_owned()?;
    let socket = Socket::from(fd);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[allow(clippy::disallowed_methods)]
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
