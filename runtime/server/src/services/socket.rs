//! Sockets of programs, on this worker's event loop.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BufMut;
use pilotlight_filter::host::socket::{Secured, SocketOption, StartTls, TlsFailure};
use pilotlight_filter::host::{Connect, Datagram, Remote, Socket, Wait};
use socket2::{Domain, Protocol, SockAddr, SockRef, TcpKeepalive, Type};
use tokio::io::ReadBuf;
use tokio::net::{TcpSocket, UdpSocket, UnixDatagram, UnixStream};

use crate::stream::{Plain, Stream};
use crate::tls::ProgramTls;

/// A connection of a program.
struct Wired {
    stream: Stream,
    to: Remote,
    programs: Arc<ProgramTls>,
}

/// Opens a connection.
pub(crate) async fn connect(
    connect: Connect,
    programs: Arc<ProgramTls>,
) -> io::Result<Box<dyn Socket>> {
    let stream = match &connect.to {
        Remote::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        Remote::Inet(to) => {
            let socket = match to {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if let Some(from) = connect.from {
                bind(&socket, from, connect.transparent)?;
            }
            let stream = socket.connect(*to).await?;
            stream.set_nodelay(true)?;
            Stream::Tcp(stream)
        }
    };
    Ok(Box::new(Wired { stream, to: connect.to, programs }))
}

/// A client's connection, as a program's.
pub(crate) fn taken(
    stream: Stream,
    peer: SocketAddr,
    programs: Arc<ProgramTls>,
) -> Box<dyn Socket> {
    Box::new(Wired { stream, to: Remote::Inet(peer), programs })
}

fn bind(socket: &TcpSocket, from: SocketAddr, transparent: bool) -> io::Result<()> {
    let options = SockRef::from(socket);
    match from {
        SocketAddr::V4(_) if transparent => options.set_ip_transparent_v4(true)?,
        SocketAddr::V6(_) if transparent => options.set_ip_transparent_v6(true)?,
        _ => {}
    }
    if from.port() != 0 {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(from)
}

impl Wired {
    /// Looks at the system's socket, below TLS too.
    fn system<T>(&self, look: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        match &self.stream {
            Stream::Tcp(socket) => look(SockRef::from(socket)),
            Stream::Unix(socket) => look(SockRef::from(socket)),
            Stream::TlsClient(tls) => match tls.get_ref().0 {
                Plain::Tcp(socket) => look(SockRef::from(socket)),
                Plain::Unix(socket) => look(SockRef::from(socket)),
            },
            Stream::TlsServer(_) | Stream::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Socket for Wired {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        buffer.reserve(most);
        self.stream.poll_read(cx, &mut buffer.limit(most))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, &[io::IoSlice::new(data)])
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn start_tls(self: Box<Self>, tls: StartTls) -> Wait<Result<Secured, TlsFailure>> {
        Box::pin(async move {
            // What follows may read certificates: that is not the script's time.
            tokio::task::yield_now().await;
            let Wired { stream, to, programs } = *self;
            let (plain, address) = match (stream, &to) {
                (Stream::Tcp(socket), Remote::Inet(to)) => (Plain::Tcp(socket), Some(to.ip())),
                (Stream::Tcp(socket), Remote::Unix(_)) => (Plain::Tcp(socket), None),
                (Stream::Unix(socket), _) => (Plain::Unix(socket), None),
                (Stream::TlsServer(_) | Stream::TlsClient(_) | Stream::Closed, _) => {
                    let message = "handshake failed".to_owned();
                    let line = "SSL_do_handshake() failed (SSL: TLS within TLS)".to_owned();
                    return Err(TlsFailure { code: 0, message, line });
                }
            };
            let (stream, session) = programs.connect(plain, address, tls).await?;
            Ok(Secured { socket: Box::new(Wired { stream, to, programs }), session })
        })
    }

    fn option(&self, option: SocketOption) -> io::Result<i32> {
        self.system(|socket| {
            Ok(match option {
                SocketOption::KeepAlive => i32::from(socket.keepalive()?),
                SocketOption::ReuseAddress => i32::from(socket.reuse_address()?),
                SocketOption::NoDelay => i32::from(socket.tcp_nodelay()?),
                SocketOption::SendBuffer => socket.send_buffer_size()? as i32,
                SocketOption::ReceiveBuffer => socket.recv_buffer_size()? as i32,
                SocketOption::KeepAliveInterval => {
                    socket.tcp_keepalive_interval()?.as_secs() as i32
                }
                SocketOption::KeepAliveCount => socket.tcp_keepalive_retries()? as i32,
            })
        })
    }

    fn set_option(&self, option: SocketOption, value: i32) -> io::Result<()> {
        let count = u32::try_from(value).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let seconds = Duration::from_secs(u64::from(count));
        self.system(|socket| match option {
            SocketOption::KeepAlive => socket.set_keepalive(value != 0),
            SocketOption::ReuseAddress => socket.set_reuse_address(value != 0),
            SocketOption::NoDelay => socket.set_tcp_nodelay(value != 0),
            SocketOption::SendBuffer => socket.set_send_buffer_size(count as usize),
            SocketOption::ReceiveBuffer => socket.set_recv_buffer_size(count as usize),
            SocketOption::KeepAliveInterval => {
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_interval(seconds))
            }
            SocketOption::KeepAliveCount => {
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_retries(count))
            }
        })
    }

    fn descriptor(&self) -> Option<i32> {
        use std::os::fd::AsRawFd;
        self.system(|socket| Ok(socket.as_raw_fd())).ok()
    }

    fn peer_certificates(&self) -> Vec<Vec<u8>> {
        let Stream::TlsClient(tls) = &self.stream else { return Vec::new() };
        let shown = tls.get_ref().1.peer_certificates().unwrap_or_default();
        shown.iter().map(|der| der.to_vec()).collect()
    }
}

/// A socket for datagrams of one peer.
enum Post {
    Inet(UdpSocket),
    Unix(UnixDatagram),
}

/// Opens one.
pub(super) fn datagram(to: &Remote, from: Option<SocketAddr>) -> io::Result<Box<dyn Datagram>> {
    let post = match to {
        Remote::Inet(to) => {
            let any = match to {
                SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            };
            let socket = std::net::UdpSocket::bind(from.unwrap_or(any))?;
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            Post::Inet(UdpSocket::from_std(socket)?)
        }
        Remote::Unix(path) => {
            let socket = socket2::Socket::new(Domain::UNIX, Type::DGRAM, None::<Protocol>)?;
            // An address that the system makes up, so that the peer can answer.
            socket.bind(&SockAddr::unix("")?)?;
            socket.connect(&SockAddr::unix(path)?)?;
            socket.set_nonblocking(true)?;
            Post::Unix(UnixDatagram::from_std(socket.into())?)
        }
    };
    Ok(Box::new(post))
}

impl Datagram for Post {
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        // A new socket is not known to be writable yet, but is: the system says so at once.
        let sent = match self {
            Post::Inet(socket) => SockRef::from(&*socket).send(data),
            Post::Unix(socket) => SockRef::from(&*socket).send(data),
        };
        match (sent, self) {
            (Err(error), Post::Inet(socket)) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.poll_send(cx, data)
            }
            (Err(error), Post::Unix(socket)) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.poll_send(cx, data)
            }
            (sent, _) => Poll::Ready(sent),
        }
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        buffer.reserve(most);
        let before = buffer.len();
        let room = &mut buffer.spare_capacity_mut()[..most];
        let mut room = ReadBuf::uninit(room);
        ready!(match self {
            Post::Inet(socket) => socket.poll_recv(cx, &mut room),
            Post::Unix(socket) => socket.poll_recv(cx, &mut room),
        })?;
        let read = room.filled().len();
        // SAFETY: the socket has filled the first `read` bytes of the room.
        unsafe { buffer.set_len(before + read) };
        Poll::Ready(Ok(read))
    }
}

#[cfg(test)]
mod tests;
