//! A byte stream to a peer: TCP, Unix, TLS over either.

use std::io::{self, BufRead, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BufMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected stream.
pub(crate) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS that we serve.
    TlsServer(Box<tokio_rustls::server::TlsStream<Plain>>),
    /// TLS that we ask for.
    TlsClient(Box<tokio_rustls::client::TlsStream<Plain>>),
    /// Taken away (a tunnel has it).
    Closed,
}

/// A clear-text stream under TLS.
pub(crate) enum Plain {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr, $closed:expr) => {
        match $self {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::TlsServer($stream) => $call,
            Stream::TlsClient($stream) => $call,
            Stream::Closed => $closed,
        }
    };
}

/// Looks into a socket's queue; the runtime learns what was found.
macro_rules! has_nothing {
    ($socket:expr) => {{
        let socket = &*$socket;
        let mut byte = [MaybeUninit::uninit()];
        let looked = socket.try_io(Interest::READABLE, || SockRef::from(socket).peek(&mut byte));
        looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }};
}

impl Stream {
    /// Ready when a read may find something, without a buffer for it. Streams that can't tell
    /// are always ready.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Stream::Tcp(s) => s.poll_read_ready(cx).map(drop),
            Stream::Unix(s) => s.poll_read_ready(cx).map(drop),
            Stream::TlsServer(s) => {
                let (plain, session) = s.get_mut();
                poll_tls(plain, session.reader(), cx)
            }
            Stream::TlsClient(s) => {
                let (plain, session) = s.get_mut();
                poll_tls(plain, session.reader(), cx)
            }
            Stream::Closed => Poll::Ready(()),
        }
    }

    /// Whether it is open and its peer has said nothing that was not read. After a read that filled
    /// its buffer the runtime can't know, so then the system is asked.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if self.poll_readable(&mut cx).is_pending() {
            return true;
        }
        match self {
            Stream::Tcp(s) => has_nothing!(s),
            Stream::Unix(s) => has_nothing!(s),
            Stream::TlsServer(s) => {
                let (plain, session) = s.get_mut();
                is_tls_silent(plain, session.reader())
            }
            Stream::TlsClient(s) => {
                let (plain, session) = s.get_mut();
                is_tls_silent(plain, session.reader())
            }
            Stream::Closed => false,
        }
    }

    /// Whether waiting for readability costs no buffer.
    pub(crate) fn tells_readable(&self) -> bool {
        !matches!(self, Stream::Closed)
    }

    /// Reads once into the room that `buffer` has. `Ok(0)`: the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        // SAFETY: only `poll_read` writes there, and `ReadBuf` counts what it initialises.
        let mut room = ReadBuf::uninit(unsafe { buffer.chunk_mut().as_uninit_slice_mut() });
        let polled = each!(self, s => Pin::new(s).poll_read(cx, &mut room), Poll::Ready(Ok(())));
        let read = room.filled().len();
        polled.map_ok(|()| {
            // SAFETY: `poll_read` filled the first `read` bytes of the room.
            unsafe { buffer.advance_mut(read) };
            read
        })
    }

    /// Writes some of the slices.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let closed = Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        each!(self, s => Pin::new(s).poll_write_vectored(cx, slices), closed)
    }

    /// Pushes what TLS holds back. Nothing for clear text.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::TlsServer(s) => Pin::new(s).poll_flush(cx),
            Stream::TlsClient(s) => Pin::new(s).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => Pin::new(s).poll_shutdown(cx), Poll::Ready(Ok(())))
    }

    /// Ends it so that the other side sees an error, not an end.
    pub(crate) fn reset(self) {
        let socket = match &self {
            Stream::Tcp(socket) => socket,
            Stream::TlsServer(tls) => match tls.get_ref().0 {
                Plain::Tcp(socket) => socket,
                Plain::Unix(_) => return,
            },
            _ => return,
        };
        let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }

    /// Takes the stream, leaving a closed one.
    pub(crate) fn take(&mut self) -> Stream {
        std::mem::replace(self, Stream::Closed)
    }
}

/// TLS may have something decrypted already, or an end: a request often comes with the last message
/// of the handshake, and then the socket has no more to say.
fn poll_tls(plain: &Plain, mut reader: rustls::Reader<'_>, cx: &mut Context<'_>) -> Poll<()> {
    match reader.fill_buf() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => poll_plain(plain, cx),
        _ => Poll::Ready(()),
    }
}

fn is_tls_silent(plain: &Plain, mut reader: rustls::Reader<'_>) -> bool {
    let drained = reader.fill_buf().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
    drained
        && match plain {
            Plain::Tcp(s) => has_nothing!(s),
            Plain::Unix(s) => has_nothing!(s),
        }
}

fn poll_plain(plain: &Plain, cx: &mut Context<'_>) -> Poll<()> {
    match plain {
        Plain::Tcp(s) => s.poll_read_ready(cx).map(drop),
        Plain::Unix(s) => s.poll_read_ready(cx).map(drop),
    }
}

impl From<Plain> for Stream {
    fn from(plain: Plain) -> Stream {
        match plain {
            Plain::Tcp(s) => Stream::Tcp(s),
            Plain::Unix(s) => Stream::Unix(s),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), s => Pin::new(s).poll_read(cx, buffer), Poll::Ready(Ok(())))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Stream::poll_write(self.get_mut(), cx, &[IoSlice::new(b)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_shutdown(self.get_mut(), cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write(self.get_mut(), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

macro_rules! each_plain {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Plain::Tcp($stream) => $call,
            Plain::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each_plain!(self.get_mut(), s => Pin::new(s).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        each_plain!(self.get_mut(), s => Pin::new(s).poll_write(cx, b))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_plain!(self.get_mut(), s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_plain!(self.get_mut(), s => Pin::new(s).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each_plain!(self.get_mut(), s => Pin::new(s).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
