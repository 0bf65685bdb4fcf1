//! A socket that accepts, and that can be closed without losing a connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockFilter, SockRef, Socket};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::stream::Plain;

/// How long handshakes that are under way have to end when a listener closes.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// A socket that accepts.
pub(super) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection as it was accepted.
pub(super) struct Accepted {
    pub(super) plain: Plain,
    pub(super) from: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
}

impl Accepted {
    /// A connection that somebody else has accepted.
    pub(super) fn of(socket: Socket) -> io::Result<Accepted> {
        if socket.local_addr()?.is_unix() {
            let plain = Plain::Unix(UnixStream::from_std(socket.into())?);
            return Ok(Accepted { plain, from: None, local: None });
        }
        let stream = TcpStream::from_std(socket.into())?;
        let (from, local) = (stream.peer_addr().ok(), stream.local_addr().ok());
        Ok(Accepted { plain: Plain::Tcp(stream), from, local })
    }
}

impl Acceptor {
    pub(super) fn new(socket: Socket) -> io::Result<Acceptor> {
        let is_unix = socket.local_addr()?.is_unix();
        Ok(match is_unix {
            true => Acceptor::Unix(UnixListener::from_std(socket.into())?),
            false => Acceptor::Tcp(TcpListener::from_std(socket.into())?),
        })
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
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
    pub(super) async fn close(self, mut admit: impl FnMut(Accepted)) {
        if let Acceptor::Tcp(listener) = &self {
            drop(refuse_handshakes(listener));
        }
        let grace = tokio::time::sleep(GRACE);
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
