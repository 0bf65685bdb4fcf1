//! QUIC: an endpoint for each worker on a UDP socket of its own (`SO_REUSEPORT`).
//!
//! The kernel picks the socket by the packet's addresses and ports, so that all packets of a
//! connection reach the worker that owns it as long as the client keeps its address. A client
//! that moves to another address may reach another worker, which does not know the connection and
//! answers with a stateless reset; it then connects anew. So migration is announced as off.
//!
//! A process that hands over to another shares its sockets with it: see [`passage`].

mod door;
pub(crate) mod keys;
mod passage;

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use self::door::Door;
pub(crate) use self::passage::{Elders, Passage};
use arc_swap::ArcSwap;
use pilotlight_config::manifest;
use quinn::{
    Connecting, ConnectionId, Endpoint, EndpointConfig, IdleTimeout, Incoming, Runtime,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::sync::watch;

use crate::codec::h3;
use crate::drive::connect;
use crate::generation::Listener;
use crate::listener::{self, Gate};
use crate::metrics::Protocol;
use crate::tls::{self, ServerTls};
use crate::worker::{Admitted, Connection, Worker};

/// Unread bytes of a connection, and of one of its streams.
const RECEIVE_WINDOW: u32 = 640 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes sent and not acknowledged, for a connection.
const SEND_WINDOW: u64 = 1024 * 1024;
/// Streams in one direction that a client may have open: three are all that HTTP/3 has a use for.
const UNI_STREAMS: u32 = 16;
/// Handshakes under way from which on clients must prove their address (Retry)...
const RETRY_FROM: usize = 100;
/// ... and at which no more are begun.
const REFUSE_FROM: usize = 1000;
/// Connections that wait to be looked at, and what may be held for them.
const INCOMING_MAX: usize = 4096;
const INCOMING_BYTES: u64 = 16 << 20;
const INCOMING_EACH: u64 = 64 * 1024;

/// A listener's settings for QUIC; `None` when it speaks no HTTP/3.
fn server_config(tls: &ServerTls, listener: &manifest::Listener) -> Option<ServerConfig> {
    let mut config = ServerConfig::new(tls.quic()?, keys::token());
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(listener.timeouts.keepalive).ok();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(listener.limits.streams))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(idle)
        .enable_segmentation_offload(true);
    config
        .transport_config(Arc::new(transport))
        .migration(false)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_EACH)
        .incoming_buffer_size_total(INCOMING_BYTES);
    Some(config)
}

/// Opens an endpoint on a bound socket and serves it; called within the worker's runtime.
///
/// # Errors
/// When the socket can't be used.
pub(crate) fn open(
    worker: Rc<Worker>,
    current: Arc<ArcSwap<Listener>>,
    socket: std::net::UdpSocket,
    passage: Passage,
    gate: watch::Receiver<Gate>,
) -> io::Result<()> {
    let Some(newest) = Newest::new(current) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut config = EndpointConfig::new(keys::reset());
    let socket_number = passage.socket;
    config.cid_generator(move || keys::ids(socket_number));
    // The endpoint's own configuration is what makes it listen; each connection gets the newest.
    let listens = Some(ServerConfig::clone(&newest.config));
    let runtime = Arc::new(TokioRuntime);
    let door = Door::new(runtime.wrap_udp_socket(socket)?, passage);
    let endpoint = Endpoint::new_with_abstract_socket(config, listens, door.clone(), runtime)?;
    let house = House { worker, newest, endpoint, socket: socket_number, pending: Rc::default() };
    tokio::task::spawn_local(house.serve(door, gate));
    Ok(())
}

/// A listener as of the last reload, and its settings for QUIC.
struct Newest {
    current: Arc<ArcSwap<Listener>>,
    listener: Arc<Listener>,
    config: Arc<ServerConfig>,
}

impl Newest {
    fn new(current: Arc<ArcSwap<Listener>>) -> Option<Newest> {
        let listener = current.load_full();
        let config = Arc::new(server_config(listener.tls.as_ref()?, &listener.settings)?);
        Some(Newest { current, listener, config })
    }

    /// Looks whether a reload has changed the listener.
    fn renew(&mut self) {
        if !Arc::ptr_eq(&self.listener, &self.current.load())
            && let Some(newest) = Newest::new(self.current.clone())
        {
            *self = newest;
        }
    }
}

/// An endpoint that serves.
struct House {
    worker: Rc<Worker>,
    newest: Newest,
    endpoint: Endpoint,
    /// Which of its listener's it is.
    socket: usize,
    pending: Rc<Cell<usize>>,
}

impl House {
    /// Accepts connections until told to stop; those that are open end by themselves.
    async fn serve(mut self, door: Arc<Door>, mut gate: watch::Receiver<Gate>) {
        let worker = self.worker.clone();
        let mut accepting = Some(worker.accepting());
        loop {
            let now = *gate.borrow_and_update();
            match now {
                Gate::Closed => break,
                Gate::Paused => {
                    door.shut();
                    // What was read before that is served.
                    while let Some(incoming) = self.already_there().await {
                        self.begin(incoming);
                    }
                    accepting = None;
                    match gate.changed().await {
                        Ok(()) => continue,
                        // The process goes to sleep, and its sockets stay.
                        Err(_) => return,
                    }
                }
                Gate::Left => {
                    // What the other process finds to be ours still comes.
                    door.leave();
                    break;
                }
                Gate::Open => {
                    door.open();
                    accepting.get_or_insert_with(|| worker.accepting());
                }
            }
            tokio::select! {
                changed = gate.changed() => if changed.is_err() { break },
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.begin(incoming),
                    None => return,
                },
            }
        }
        drop(accepting);
        // Clients that have not heard yet that their connection is over must be told so by us.
        let mut lasting = Some(worker.count());
        if *gate.borrow() != Gate::Left {
            // Without a configuration it refuses new clients, which go where somebody still listens.
            self.endpoint.set_server_config(None);
            return self.endpoint.wait_idle().await;
        }
        // A client that was asked to show its address may come back to who asked; and what belongs
        // to a process before this one passes here as long as that is there.
        loop {
            let endpoint = self.endpoint.clone();
            tokio::select! {
                biased;
                changed = gate.changed() => if changed.is_err() { return },
                Some(incoming) = endpoint.accept() => self.begin(incoming),
                () = endpoint.wait_idle(), if lasting.is_some() => lasting = None,
            }
        }
    }

    async fn already_there(&self) -> Option<Incoming> {
        tokio::select! {
            biased;
            incoming = self.endpoint.accept() => incoming,
            () = std::future::ready(()) => None,
        }
    }

    fn begin(&mut self, incoming: Incoming) {
        let (worker, newest, pending) = (&self.worker, &mut self.newest, &self.pending);
        if pending.get() >= REFUSE_FROM {
            incoming.refuse();
        } else if pending.get() >= RETRY_FROM && incoming.may_retry() {
            // It fails only for what `may_retry` has ruled out.
            let _ = incoming.retry();
        } else {
            newest.renew();
            let Some(permit) = worker.admit(&newest.listener) else { return incoming.refuse() };
            let pending = Pending::new(pending, incoming.orig_dst_cid(), self.socket);
            let Ok(connecting) = incoming.accept_with(newest.config.clone()) else { return };
            let client = Client {
                worker: worker.clone(),
                listener: newest.listener.clone(),
                port: self.endpoint.local_addr().map_or(0, |address| address.port()),
                counted: worker.count(),
                pending,
                _permit: permit,
            };
            tokio::task::spawn_local(client.serve(connecting));
        }
    }
}

/// A handshake under way, by the name that its client has chosen.
struct Pending(Rc<Cell<usize>>, ConnectionId);

impl Pending {
    fn new(count: &Rc<Cell<usize>>, name: ConnectionId, socket: usize) -> Pending {
        count.set(count.get() + 1);
        passage::begun(name, socket);
        Pending(count.clone(), name)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
        passage::ended(&self.1);
    }
}

/// A client that was let in.
struct Client {
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    port: u16,
    counted: Connection,
    pending: Pending,
    _permit: Admitted,
}

impl Client {
    async fn serve(self, connecting: Connecting) {
        let _counted = self.counted;
        let limit = self.listener.settings.timeouts.handshake;
        let Ok(Ok(connection)) = tokio::time::timeout(limit, connecting).await else { return };
        drop(self.pending);
        let shown = self.listener.tls.as_ref().map(|tls| tls.shown());
        let info = tls::quic_info(&connection, shown);
        let from = Some(connection.remote_address());
        let local = connection.local_ip().map(|ip| SocketAddr::new(ip, self.port));
        let mut peer = listener::peer(&self.worker, &self.listener, from, local);
        peer.tls = Some(Box::new(info));
        let inlet = listener::inlet(&self.worker, &self.listener, peer);
        if !connect(&inlet).await {
            // It ends with the connection's last handle.
            return;
        }
        let _connected = inlet.connected(Protocol::Http3);
        h3::serve(Rc::new(inlet), connection).await;
    }
}
