//! Asking name servers, one after the other, by UDP and, for what does not fit, by TCP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::message::{Heard, Kind, Refusal, Server, hear, question};
use crate::clock;

/// How long the first server has before the next is asked; each further one has twice as long.
const PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE_MAX: Duration = Duration::from_secs(8);
/// More than a datagram of a name server holds.
const DATAGRAM: usize = 4096;

/// The addresses of a name, and how long they hold. The caller bounds the time.
pub(super) async fn ask(
    servers: &[SocketAddr],
    turn: usize,
    name: &str,
    ipv6: bool,
) -> Result<(Vec<IpAddr>, Duration), Refusal> {
    let addresses = async |kind| match ask_for(servers, turn, name, kind).await? {
        Heard::Addresses(addresses, ttl) => Ok((addresses, ttl)),
        _ => Err(Refusal::SERVER),
    };
    if !ipv6 {
        return some(addresses(Kind::V4).await?);
    }
    let both = tokio::join!(addresses(Kind::V4), addresses(Kind::V6));
    match both {
        (Ok((mut all, ttl)), Ok((six, six_ttl))) => {
            let ttl = match (all.is_empty(), six.is_empty()) {
                (true, _) => six_ttl,
                (_, true) => ttl,
                _ => ttl.min(six_ttl),
            };
            all.extend(six);
            some((all, ttl))
        }
        (Ok(found), Err(refusal)) | (Err(refusal), Ok(found)) => {
            if found.0.is_empty() {
                Err(refusal)
            } else {
                Ok(found)
            }
        }
        (Err(refusal), Err(_)) => Err(refusal),
    }
}

/// The servers of a service, and how long they hold.
pub(super) async fn services(
    servers: &[SocketAddr],
    turn: usize,
    name: &str,
) -> Result<(Vec<Server>, Duration), Refusal> {
    match ask_for(servers, turn, name, Kind::Srv).await? {
        Heard::Servers(found, ttl) => some((found, ttl)),
        _ => Err(Refusal::SERVER),
    }
}

fn some<T>(found: (Vec<T>, Duration)) -> Result<(Vec<T>, Duration), Refusal> {
    if found.0.is_empty() { Err(Refusal::NAME) } else { Ok(found) }
}

/// Asks all servers, again and again.
async fn ask_for(
    servers: &[SocketAddr],
    turn: usize,
    name: &str,
    kind: Kind,
) -> Result<Heard, Refusal> {
    let mut patience = PATIENCE;
    let mut last = Refusal::TIMEOUT;
    for round in 0.. {
        let server = servers[(turn + round) % servers.len()];
        match tokio::time::timeout(patience, ask_one(server, name, kind)).await {
            Ok(Ok(Heard::Refused(refusal))) if refusal.is_final() => return Err(refusal),
            Ok(Ok(Heard::Refused(refusal))) => last = refusal,
            Ok(Ok(Heard::Truncated | Heard::Other)) | Ok(Err(_)) => last = Refusal::SERVER,
            Ok(Ok(heard)) => return Ok(heard),
            Err(_) => {}
        }
        // Each has had its say: those who could not be reached are tried again, for a while.
        if round + 1 >= servers.len() && last != Refusal::TIMEOUT {
            return Err(last);
        }
        patience = (patience * 2).min(PATIENCE_MAX);
    }
    Err(last)
}

/// Asks one server.
async fn ask_one(server: SocketAddr, name: &str, kind: Kind) -> io::Result<Heard> {
    let mut id = [0; 2];
    clock::random(&mut id);
    let id = u16::from_be_bytes(id);
    let message = match question(id, name, kind) {
        Ok(message) => message,
        Err(refusal) => return Ok(Heard::Refused(refusal)),
    };
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    // A port of its own for each question: it is half of what a forger would have to guess.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&message).await?;
    let mut answer = [0; DATAGRAM];
    loop {
        let length = socket.recv(&mut answer).await?;
        match hear(&answer[..length], id, name, kind) {
            Heard::Other => {}
            Heard::Truncated => return by_tcp(server, &message, id, name, kind).await,
            heard => return Ok(heard),
        }
    }
}

async fn by_tcp(
    server: SocketAddr,
    message: &[u8],
    id: u16,
    name: &str,
    kind: Kind,
) -> io::Result<Heard> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(hear(&answer, id, name, kind))
}
