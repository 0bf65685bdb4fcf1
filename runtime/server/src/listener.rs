//! Listeners: sockets opened before anything runs, one of each a worker, and the loops that
//! accept on them.

mod acceptor;
mod peek;
mod probe;
mod sockets;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pilotlight_filter::Peer;
use socket2::Socket;
use tokio::sync::watch;

pub(crate) use self::acceptor::GRACE;
use self::acceptor::{Accepted, Acceptor};
pub(crate) use self::probe::WELL;
pub(crate) use self::sockets::{
    Opened, Sockets, handed, handed_but, held, is_activated, name, one_more, open, port,
};
use crate::codec::{h1, h2};
use crate::drive::{Stages, connect};
use crate::generation::Listener;
use crate::metrics::Protocol;
use crate::stream::{Plain, Stream};
use crate::worker::{Admitted, Inlet, Worker};
use crate::{flow, quic, tls};

/// Whether a listener accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Not now: what comes waits in the kernel's queues.
    Paused,
    /// Another process does.
    Left,
    /// Never again.
    Closed,
}

/// Accepts on a listener's sockets until told to stop.
pub(crate) async fn accept(
    worker: Rc<Worker>,
    current: Arc<ArcSwap<Listener>>,
    sockets: Sockets,
    mut gate: watch::Receiver<Gate>,
) -> io::Result<()> {
    if let Some(socket) = sockets.datagram {
        let (worker, current, gate) = (worker.clone(), current.clone(), gate.clone());
        quic::open(worker, current, socket.into(), sockets.passage, gate)?;
    }
    let Some(socket) = sockets.stream else { return Ok(()) };
    let acceptor = Acceptor::new(socket)?;
    let mut accepting = Some(worker.accepting());
    loop {
        let now = *gate.borrow_and_update();
        match now {
            Gate::Closed => break,
            Gate::Left => return Ok(()),
            Gate::Paused => {
                accepting = None;
                match gate.changed().await {
                    Ok(()) => continue,
                    // The process goes to sleep, and its sockets stay.
                    Err(_) => return Ok(()),
                }
            }
            Gate::Open => drop(accepting.get_or_insert_with(|| worker.accepting())),
        }
        tokio::select! {
            biased;
            changed = gate.changed() => if changed.is_err() { break },
            accepted = acceptor.accept() => match accepted {
                Ok(accepted) => admit(&worker, &current.load_full(), accepted),
                // Out of descriptors: wait for some to come back instead of spinning.
                Err(error) if !is_transient(&error) => tokio::time::sleep(PAUSE).await,
                Err(_) => {}
            },
        }
    }
    drop(accepting);
    acceptor.close(|accepted| admit(&worker, &current.load_full(), accepted)).await;
    Ok(())
}

/// How long nothing is accepted when the system has no more to give.
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

/// Takes a connection in, unless the listener is full.
fn admit(worker: &Rc<Worker>, listener: &Arc<Listener>, accepted: Accepted) {
    let Some(permit) = worker.admit(listener) else { return };
    if let Plain::Tcp(stream) = &accepted.plain {
        drop(stream.set_nodelay(true));
    }
    let Some(path) = &listener.health else { return begin(worker, listener, accepted, permit) };
    let (probing, path, limit) =
        (worker.probe(), path.clone(), listener.settings.timeouts.handshake);
    let (worker, listener) = (worker.clone(), listener.clone());
    tokio::task::spawn_local(async move {
        let _probing = probing;
        let asked = tokio::time::timeout(limit, probe::answered(&accepted.plain, &path)).await;
        if matches!(asked, Ok(false)) {
            begin(&worker, &listener, accepted, permit);
        }
    });
}

/// Takes in a connection that was accepted while nobody was there to serve it.
pub(crate) fn admit_socket(
    worker: &Rc<Worker>,
    listener: &Arc<Listener>,
    socket: Socket,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    admit(worker, listener, Accepted::of(socket)?);
    Ok(())
}

/// Serves a connection that was let in.
fn begin(worker: &Rc<Worker>, listener: &Arc<Listener>, accepted: Accepted, permit: Admitted) {
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
fn serve(
    (inlet, stream, protocol): (Rc<Inlet>, Stream, Protocol),
) -> Pin<Box<dyn Future<Output = ()>>> {
    let connected = inlet.connected(protocol);
    match protocol {
        Protocol::Http2 => Box::pin(async move {
            let _connected = connected;
            h2::serve(inlet, stream).await;
        }),
        Protocol::Tcp => Box::pin(async move {
            let _connected = connected;
            flow::serve(inlet, stream).await;
        }),
        Protocol::Http1 | Protocol::Http3 => {
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
) -> Option<(Rc<Inlet>, Stream, Protocol)> {
    let limit = listener.settings.timeouts.handshake;
    let opened = tokio::time::timeout(limit, async {
        let Accepted { plain, mut from, mut local } = accepted;
        if listener.settings.proxy_protocol {
            let header = peek::proxy_header(&plain).await.ok()?;
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
                    (true, true) => peek::has_preface(&plain).await.ok()?,
                    (_, h2) => h2,
                };
                Some((Stream::from(plain), peer, h2))
            }
        }
    });
    let (stream, peer, h2) = opened.await.ok()??;
    let protocol = match listener.settings.tcp {
        Some(_) => Protocol::Tcp,
        None if h2 => Protocol::Http2,
        None => Protocol::Http1,
    };
    let inlet = Rc::new(inlet(&worker, &listener, peer));
    connect(&inlet).await.then_some((inlet, stream, protocol))
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
        local,
        number: worker.number_connection(),
        ..Peer::new(address, from.map_or(0, |a| a.port()), listener.name.clone())
    }
}

/// What the exchanges of a connection share.
pub(crate) fn inlet(worker: &Rc<Worker>, listener: &Arc<Listener>, peer: Peer) -> Inlet {
    Inlet { worker: worker.clone(), listener: listener.clone(), peer: Rc::new(peer) }
}
