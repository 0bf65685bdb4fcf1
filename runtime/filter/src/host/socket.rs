//! Connections that programs open themselves: byte streams, TLS over them, datagrams.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Wait;

/// The other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// An address and its port.
    Inet(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What a connection is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Where to.
    pub to: Remote,
    /// From this address of ours; port 0 is any.
    pub from: Option<SocketAddr>,
    /// `from` need not be one of this machine's (`IP_TRANSPARENT`).
    pub transparent: bool,
}

/// Who is asked for a name's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The manifest's servers, and nobody when it names none.
    Manifest,
    /// The system, when the manifest names no servers.
    System,
}

/// A connection. Dropping it closes it.
///
/// It is polled by one reader and one writer at a time; an error is the end of its direction.
pub trait Socket {
    /// Appends what is there to `buffer`, at most `most` bytes. `Ok(0)`: the peer has ended.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>>;

    /// Takes some of `data`; how much.
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Ready when what was taken is with the system.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Goes on by TLS. A connection that fails at it is closed.
    fn start_tls(self: Box<Self>, tls: StartTls) -> Wait<Result<Secured, TlsFailure>>;

    /// An option's value.
    ///
    /// # Errors
    /// The system's.
    fn option(&self, option: SocketOption) -> io::Result<i32>;

    /// Sets an option.
    ///
    /// # Errors
    /// The system's.
    fn set_option(&self, option: SocketOption, value: i32) -> io::Result<()>;

    /// The system's number of it, if it has one.
    fn descriptor(&self) -> Option<i32>;

    /// The certificates that its peer has shown in a TLS handshake, DER, its own first.
    fn peer_certificates(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// A socket that datagrams of one peer come from and go to.
pub trait Datagram {
    /// Sends one; how much of it has gone.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Appends the next to `buffer`: its first `most` bytes, the others are lost.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>>;
}

/// Options that programs may look at and set; values are as the system has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SocketOption {
    KeepAlive,
    ReuseAddress,
    NoDelay,
    SendBuffer,
    ReceiveBuffer,
    KeepAliveInterval,
    KeepAliveCount,
}

/// A handshake that a program asks for.
#[derive(Default)]
pub struct StartTls {
    /// The name that is asked for, and that the certificate must be for. Without one the client
    /// sends none, and any certificate of a trusted issuer will do.
    pub server_name: Option<String>,
    /// Whether the certificate matters.
    pub verify: bool,
    /// What is trusted and shown, by the manifest.
    pub files: TlsFiles,
    /// A certificate of the program's own, instead of the manifest's.
    pub client: Option<Rc<ClientIdentity>>,
    /// A session to go on with.
    pub session: Option<TlsSession>,
}

/// TLS as the manifest has it for a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Issuers that are trusted; without them the system's.
    pub ca: Option<PathBuf>,
    /// Certificates that their issuers have revoked.
    pub crl: Option<PathBuf>,
    /// The client's certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Versions as OpenSSL calls them ("TLSv1.2"); empty: all that there are.
    pub protocols: Vec<String>,
    /// Suites of TLS 1.2 as OpenSSL calls them, with colons between them; `None`: all.
    pub ciphers: Option<String>,
    /// Certificates that may stand between the server's and a trusted one; `None`: any number.
    pub depth: Option<u32>,
}

/// A client's certificate and key, in DER.
pub struct ClientIdentity {
    /// The certificate, then its issuers.
    pub chain: Vec<Vec<u8>>,
    /// PKCS #8, PKCS #1 or SEC 1.
    pub key: Vec<u8>,
}

/// What a server gave to go on with later: a handle that grows with each ticket that comes.
pub type TlsSession = Rc<dyn Any>;

/// A connection after its handshake.
pub struct Secured {
    /// The connection.
    pub socket: Box<dyn Socket>,
    /// Its session.
    pub session: TlsSession,
}

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFailure {
    /// OpenSSL's number of what is wrong with the certificate; 0 when it is something else.
    pub code: u32,
    /// What is wrong, in OpenSSL's words where the certificate is.
    pub message: String,
    /// A line for the log.
    pub line: String,
}
