//! Datagrams of connections that another process has.
//!
//! ```text
//!   socket ──▶ heir's door ──┬─ its own, or new ─▶ its endpoint
//!                            └─ the elder's ─ passage ─▶ elder's door ─▶ its endpoint
//! ```
//! While one process hands over to another both have the same sockets, and only the heir reads them. A
//! datagram says whose it is by the name of its connection, which was made with a key of its process and
//! socket ([`keys`]), or is one that a client chose whose handshake the elder has begun. Where the heir
//! has more sockets the kernel may choose another one than before: any leads to the right one of the
//! elder's. Both send by themselves.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram as Blocking;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use quinn::ConnectionId;
use quinn::udp::{EcnCodepoint, RecvMeta};
use socket2::{Domain, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UnixDatagram;

use super::keys;
use crate::park::state::{Reader, Writer};

/// Bytes of a message: a datagram and where it came from. Longer ones are nobody's that we know.
const MESSAGE: usize = 4096;
/// Bytes of a connection's name (RFC 9000 section 17.2).
const NAME_MAX: usize = 20;

/// The ways to the processes before and after this one, beside a socket that they share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passage {
    /// Which of its listener's sockets it is.
    pub(super) socket: usize,
    /// To the elder's of that listener.
    elders: Arc<Elders>,
    heir: Arc<Mutex<Option<Socket>>>,
}

/// The ways to a process before this one, by its sockets.
#[derive(Debug, Default)]
pub(crate) struct Elders(Vec<Mutex<Option<Socket>>>);

impl Elders {
    pub(crate) fn new(ends: impl Iterator<Item = Option<Socket>>) -> Arc<Elders> {
        Arc::new(Elders(ends.map(Mutex::new).collect()))
    }

    /// Hands a datagram to the elder whose it is; false when it is none's. What has no room is lost,
    /// as datagrams may be.
    fn take(&self, meta: &RecvMeta, datagram: &[u8]) -> bool {
        let end = elders_socket(datagram).and_then(|socket| self.0.get(socket));
        let Some(mut end) = end.map(locked) else { return false };
        let Some(socket) = &*end else { return false };
        let mut message = Writer::default();
        message.bytes(meta.addr.to_string().as_bytes());
        message.bytes(meta.dst_ip.map(|ip| ip.to_string()).unwrap_or_default().as_bytes());
        message.number(meta.ecn.map_or(0, |ecn| ecn as u64));
        message.bytes(datagram);
        let sent = socket.send_with_flags(&message.0, libc::MSG_NOSIGNAL);
        let gone = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        if sent.is_err_and(|error| gone.contains(&error.kind())) {
            // What comes for its connections from now on is answered by a reset.
            *end = None;
        }
        true
    }
}

impl Passage {
    pub(crate) fn new(socket: usize, elders: &Arc<Elders>) -> Passage {
        Passage { socket, elders: elders.clone(), heir: Arc::default() }
    }

    /// Opens the way to an heir; returns the heir's end. One that was there before is closed.
    ///
    /// # Errors
    /// When the system gives no sockets.
    pub(crate) fn open(&self) -> io::Result<Socket> {
        // Messages stay whole, and each learns when the other is gone.
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        *locked(&self.heir) = Some(ours);
        Ok(theirs)
    }

    /// Whether there is a process before this one that has not left yet.
    pub(crate) fn has_elder(&self) -> bool {
        let is_there = |end: &Mutex<Option<Socket>>| {
            let mut end = locked(end);
            let gone = end.as_ref().is_some_and(|end| {
                let mut asked = libc::pollfd { fd: end.as_raw_fd(), events: 0, revents: 0 };
                // SAFETY: one record; it does not wait.
                unsafe { libc::poll(&raw mut asked, 1, 0) > 0 }
            });
            if gone {
                *end = None;
            }
            end.is_some()
        };
        self.elders.0.iter().any(is_there)
    }

    /// The end at which the heir's messages arrive, within a worker's runtime.
    pub(super) fn arriving(&self) -> Option<FromHeir> {
        let end = locked(&self.heir).take()?;
        // Of another type, which its calls don't look at.
        UnixDatagram::from_std(Blocking::from(std::os::fd::OwnedFd::from(end))).ok().map(FromHeir)
    }

    /// Takes out of what was received what is the elder's.
    pub(super) fn sift(&self, buffers: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) {
        for (buffer, meta) in buffers.iter_mut().zip(meta) {
            let whole = meta.len.min(buffer.len());
            let (mut from, mut kept) = (0, 0);
            while from < whole {
                let end = whole.min(from + meta.stride.max(1));
                if !self.elders.take(meta, &buffer[from..end]) {
                    buffer.copy_within(from..end, kept);
                    kept += end - from;
                }
                from = end;
            }
            meta.len = kept;
        }
    }
}

/// What the heir has read and found to be ours.
#[derive(Debug)]
pub(super) struct FromHeir(UnixDatagram);

impl FromHeir {
    /// The next datagram; 0 once the heir is gone.
    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<usize> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(0);
        };
        loop {
            let mut room = [MaybeUninit::uninit(); MESSAGE];
            let mut room = ReadBuf::uninit(&mut room);
            if ready!(self.0.poll_recv(cx, &mut room)).is_err() || room.filled().is_empty() {
                return Poll::Ready(0);
            }
            if let Some(read) = unpack(room.filled(), buffer) {
                *meta = read;
                return Poll::Ready(1);
            }
        }
    }
}

fn unpack(message: &[u8], buffer: &mut [u8]) -> Option<RecvMeta> {
    let mut message = Reader(message);
    let addr: SocketAddr = message.text()?.parse().ok()?;
    let dst_ip: Option<IpAddr> = message.text()?.parse().ok();
    let ecn = EcnCodepoint::from_bits(message.number()? as u8);
    let datagram = message.bytes()?;
    let len = datagram.len();
    buffer.get_mut(..len)?.copy_from_slice(datagram);
    Some(RecvMeta { addr, len, stride: len, ecn, dst_ip })
}

/// The socket of a process before this one whose a datagram is.
fn elders_socket(datagram: &[u8]) -> Option<usize> {
    let name = name(datagram)?;
    keys::former(&name).or_else(|| locked(&HANDSHAKES).elders.get(&name).copied())
}

/// The name of its connection (RFC 8999 section 5).
fn name(datagram: &[u8]) -> Option<ConnectionId> {
    const LONG: u8 = 0x80;
    /// Behind the first byte and the version.
    const LENGTH: usize = 5;
    let (at, length) = match datagram.first()? & LONG {
        0 => (1, keys::ID_BYTES),
        _ => (LENGTH + 1, usize::from(*datagram.get(LENGTH)?)),
    };
    let name = datagram.get(at..at + length)?;
    (length <= NAME_MAX).then(|| ConnectionId::new(name))
}

/// Handshakes under way.
static HANDSHAKES: Mutex<Handshakes> =
    Mutex::new(Handshakes { own: BTreeMap::new(), elders: BTreeMap::new() });

/// The names that clients have chosen, and the sockets where they did.
struct Handshakes {
    own: BTreeMap<ConnectionId, usize>,
    /// Of a process before this one.
    elders: BTreeMap<ConnectionId, usize>,
}

pub(super) fn begun(name: ConnectionId, socket: usize) {
    locked(&HANDSHAKES).own.insert(name, socket);
}

pub(super) fn ended(name: &ConnectionId) {
    locked(&HANDSHAKES).own.remove(name);
}

/// Writes them down, for an heir.
pub(super) fn keep(to: &mut Writer) {
    let all = locked(&HANDSHAKES);
    for (name, socket) in all.own.iter().chain(&all.elders) {
        to.bytes(name);
        to.number(*socket as u64);
    }
}

/// Takes up those of the elder.
pub(super) fn take_back(from: &mut Reader<'_>) -> Option<()> {
    let mut all = locked(&HANDSHAKES);
    while !from.0.is_empty() {
        let name = from.bytes().filter(|name| name.len() <= NAME_MAX)?;
        all.elders.insert(ConnectionId::new(name), from.number()? as usize);
    }
    Some(())
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
