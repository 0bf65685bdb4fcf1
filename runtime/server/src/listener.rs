//! Listeners: sockets opened before anything runs, one of each a worker, and the loops that
//! accept on them.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pilotlight_config::manifest::{Address, Listener as Meant};
use pilotlight_filter::Peer;
use socket2::{Domain, Protocol as SocketProtocol, SockAddr, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use crate::codec::{h1, h2};
use crate::drive::{Stages, connect};
use crate::generation::Listener;
use crate::metrics::Protocol;
use crate::proxy_protocol::{self, Parsed};
use crate::stream::{Plain, Stream};
use crate::worker::{Inlet, Worker};
use crate::{quic, tls};

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
                let stream = (meant.http1 || meant.http2).then(|| tcp(address)).transpose()?;
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
        Address::Unix(path) => {
            let socket = unix(path)?;
            (0..workers)
                .map(|_| Ok(Sockets { stream: Some(socket.try_clone()?), datagram: None }))
                .collect()
        }
        Address::Inherited(name) => {
            let socket = inherited(name)?;
            (0..workers)
                .map(|_| Ok(Sockets { stream: Some(socket.try_clone()?), datagram: None }))
                .collect()
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(SocketProtocol::TCP))?;
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
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(SocketProtocol::UDP))?;
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

/// Accepts on a listener's sockets until told to stop.
pub(crate) async fn accept(
    worker: Rc<Worker>,
    current: Arc<ArcSwap<Listener>>,
    sockets: Sockets,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    if let Some(socket) = sockets.datagram {
        let (worker, current, stop) = (worker.clone(), current.clone(), stop.clone());
        quic::open(worker, current, socket.into(), stop)?;
    }
    let Some(socket) = sockets.stream else { return Ok(()) };
    let acceptor = Acceptor::new(socket)?;
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|s| *s) => break,
            accepted = acceptor.accept() => match accepted {
                Ok(accepted) => admit(&worker, &current.load_full(), accepted),
                // Out of descriptors: wait for some to come back instead of spinning.
                Err(error) if !is_transient(&error) => tokio::time::sleep(PAUSE).await,
                Err(_) => {}
            },
        }
    }
    acceptor.close(|accepted| admit(&worker, &current.load_full(), accepted)).await;
    Ok(())
}

const PAUSE: Duration = Duration::from_millis(100);

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
    )
}

/// A socket that accepts.
enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection as it was accepted.
struct Accepted {
    plain: Plain,
    from: Option<SocketAddr>,
    local: Option<SocketAddr>,
}

impl Acceptor {
    fn new(socket: Socket) -> io::Result<Acceptor> {
        let is_unix = socket.local_addr()?.is_unix();
        Ok(match is_unix {
            true => Acceptor::Unix(UnixListener::from_std(socket.into())?),
            false => Acceptor::Tcp(TcpListener::from_std(socket.into())?),
        })
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Acceptor::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                let local = stream.local_addr().ok();
                Ok(Accepted { plain: Plain::Tcp(stream), from: Some(from), local })
            }
            Acceptor::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted { plain: Plain::Unix(stream), from: None, local: None })
            }
        }
    }

    /// Closes without losing a connection: new handshakes are left unanswered, so that the client
    /// tries again and meets another listener; those under way are waited for and accepted.
    async fn close(self, mut admit: impl FnMut(Accepted)) {
        if let Acceptor::Tcp(listener) = &self {
            drop(refuse_handshakes(listener));
        }
        let grace = tokio::time::sleep(PAUSE);
        tokio::pin!(grace);
        loop {
            tokio::select! {
                biased;
                Ok(accepted) = self.accept() => admit(accepted),
                () = &mut grace => return,
            }
        }
    }
}

/// A socket filter that drops segments with SYN and without ACK: their senders try again.
fn refuse_handshakes(listener: &TcpListener) -> io::Result<()> {
    const fn op(code: u32, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter::new(code as u16, jt, jf, k)
    }
    let program = [
        op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 13), // flags of the TCP header
        op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, 0x12), // SYN, ACK
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, 0x02), // SYN alone
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&program)
}

/// Takes a connection in, unless the listener is full.
fn admit(worker: &Rc<Worker>, listener: &Arc<Listener>, accepted: Accepted) {
    let Some(permit) = worker.admit(listener) else { return };
    if let Plain::Tcp(stream) = &accepted.plain {
        drop(stream.set_nodelay(true));
    }
    let counted = worker.count();
    // Boxed, so that what set-up needs is gone once the connection serves.
    let opening = Box::pin(establish(worker.clone(), listener.clone(), accepted));
    tokio::task::spawn_local(async move {
        let _kept = (permit, counted);
        if let Some(opened) = opening.await {
            serve(opened).await;
        }
    });
}

/// Serves a connection that is open. What waits here for as long as the connection is idle is a
/// pointer: see `h1::serve`.
fn serve((inlet, stream, h2): (Rc<Inlet>, Stream, bool)) -> Pin<Box<dyn Future<Output = ()>>> {
    match h2 {
        true => Box::pin(async move {
            let _connected = inlet.connected(Protocol::Http2);
            h2::serve(inlet, stream).await;
        }),
        false => {
            let connected = inlet.connected(Protocol::Http1);
            let serving = h1::serve(inlet, stream);
            Box::pin(async move {
                let _connected = connected;
                serving.await;
            })
        }
    }
}

/// PROXY header, TLS, and which protocol it is going to be.
/// `None`: it is not to be served.
async fn establish(
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    accepted: Accepted,
) -> Option<(Rc<Inlet>, Stream, bool)> {
    let limit = listener.settings.timeouts.handshake;
    let opened = tokio::time::timeout(limit, async {
        let Accepted { plain, mut from, mut local } = accepted;
        if listener.settings.proxy_protocol {
            let header = proxy_header(&plain).await.ok()?;
            if let Some((source, target)) = header.addresses {
                (from, local) = (Some(source), Some(target));
            }
        }
        let mut peer = peer(&worker, &listener, from, local);
        match &listener.tls {
            Some(settings) => {
                let stream;
                (stream, peer) = secure(&worker, &listener, settings, plain, peer).await.ok()?;
                let alpn = peer.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
                let h2 = alpn == Some("h2");
                Some((stream, peer, h2))
            }
            None => {
                let h2 = match (listener.settings.http1, listener.settings.http2) {
                    (true, true) => has_preface(&plain).await.ok()?,
                    (_, h2) => h2,
                };
                Some((Stream::from(plain), peer, h2))
            }
        }
    });
    let (stream, peer, h2) = opened.await.ok()??;
    let inlet = Rc::new(inlet(&worker, &listener, peer));
    connect(&inlet).await.then_some((inlet, stream, h2))
}

/// TLS on a connection, with the listener's filters where they take part.
async fn secure(
    worker: &Rc<Worker>,
    listener: &Arc<Listener>,
    settings: &tls::ServerTls,
    plain: Plain,
    mut peer: Peer,
) -> io::Result<(Stream, Peer)> {
    let stages = || Stages::open(worker, &Rc::new(peer.clone()));
    let stream;
    match listener.staged.then(stages).flatten() {
        None => {
            let info;
            (stream, info) = tls::accept(settings, plain).await?;
            peer.tls = Some(Box::new(info));
        }
        Some(mut stages) => {
            let info;
            // Boxed: who needs none of it should not hold its memory.
            (stream, info) = Box::pin(tls::accept_staged(settings, plain, &mut stages)).await?;
            (peer.tls, peer.heirlooms) = (Some(Box::new(info)), stages.heirlooms());
        }
    }
    Ok((stream, peer))
}

/// Who has connected.
pub(crate) fn peer(
    worker: &Rc<Worker>,
    listener: &Arc<Listener>,
    from: Option<SocketAddr>,
    local: Option<SocketAddr>,
) -> Peer {
    let address = from.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |a| a.ip().to_canonical());
    Peer {
        address,
        text: address.to_string().into(),
        port: from.map_or(0, |a| a.port()),
        local,
        tls: None,
        listener: listener.name.clone(),
        number: worker.number_connection(),
        requests: Default::default(),
        heirlooms: Default::default(),
    }
}

/// What the exchanges of a connection share.
pub(crate) fn inlet(worker: &Rc<Worker>, listener: &Arc<Listener>, peer: Peer) -> Inlet {
    Inlet { worker: worker.clone(), listener: listener.clone(), peer: Rc::new(peer) }
}

/// HTTP/2 by prior knowledge (RFC 9113 section 3.3): looks at the first bytes without taking them.
async fn has_preface(plain: &Plain) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut seen = [0; 24];
    loop {
        let count = peek(plain, &mut seen).await?;
        if count == 0 || seen[..count] != PREFACE[..count] {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Reads the PROXY header, and not a byte more.
async fn proxy_header(plain: &Plain) -> io::Result<proxy_protocol::Header> {
    let mut seen = [0; proxy_protocol::MAX];
    let mut last = 0;
    loop {
        let count = peek(plain, &mut seen).await?;
        match proxy_protocol::parse(&seen[..count]) {
            Parsed::Header(header) => {
                take(plain, &mut seen[..header.length])?;
                return Ok(header);
            }
            Parsed::Bad => return Err(ErrorKind::InvalidData.into()),
            Parsed::Partial if count == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            Parsed::Partial => {
                if count == last {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                last = count;
            }
        }
    }
}

async fn peek(plain: &Plain, buffer: &mut [u8]) -> io::Result<usize> {
    let look = |fd: SockRef<'_>, buffer: &mut [u8]| {
        // SAFETY: `u8` is a valid `MaybeUninit<u8>`, and `peek` writes initialised bytes only.
        let room =
            unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [std::mem::MaybeUninit<u8>]) };
        fd.peek(room)
    };
    match plain {
        Plain::Tcp(s) => {
            s.async_io(tokio::io::Interest::READABLE, || look(SockRef::from(s), buffer)).await
        }
        Plain::Unix(s) => {
            s.async_io(tokio::io::Interest::READABLE, || look(SockRef::from(s), buffer)).await
        }
    }
}

/// Takes bytes that `peek` has seen.
fn take(plain: &Plain, buffer: &mut [u8]) -> io::Result<()> {
    let fd = match plain {
        Plain::Tcp(s) => TcpStream::as_raw_fd(s),
        Plain::Unix(s) => UnixStream::as_raw_fd(s),
    };
    // SAFETY: the descriptor is open while `plain` lives, and the buffer is writable for its length.
    let count =
        unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_WAITALL) };
    if count == buffer.len() as isize { Ok(()) } else { Err(io::Error::last_os_error()) }
}
