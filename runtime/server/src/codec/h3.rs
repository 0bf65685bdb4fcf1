//! HTTP/3, the client's side (RFC 9114): our own frames and field sections over quinn's streams,
//! one task a request.
//!
//! ```text
//! connection ─┬─ control, QPACK streams   control
//!             └─ request stream           request ─▶ drive ─▶ reply
//! ```
//! Why not the h3 crate: 0.0.8 holds frames of any size whole, and forgets the order and number of
//! pseudo-headers before anyone can check them.

mod control;
mod frame;
mod qpack;
mod reply;
mod request;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use quinn::{RecvStream, SendStream};

use self::frame::{Code, Load};
use super::streams::Streams;
use crate::worker::Inlet;

/// A connection that ends gives what is on its way so long to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The first GOAWAY refuses nothing yet (RFC 9114 section 5.2).
const GOAWAY_NONE: u64 = (1 << 62) - 4;

/// What the streams of a connection share.
pub(crate) struct Connection {
    inlet: Rc<Inlet>,
    quic: quinn::Connection,
    load: Rc<Load>,
    streams: Rc<Streams>,
    /// The peer's critical streams that are there, as bits of their types.
    critical: Cell<u8>,
}

impl Connection {
    /// Ends the connection for the peer's fault.
    fn fail(&self, code: Code) {
        self.quic.close(code.value(), b"");
    }
}

enum Event {
    Request(SendStream, RecvStream),
    Stream(RecvStream),
    /// The connection is over.
    Closed,
    /// The gateway ends.
    Drain,
    /// Nothing went on for too long.
    Idle,
    /// The peer keeps us busy with nothing.
    Flood,
}

/// How far a connection is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The peer was asked not to come back; what it had sent by then is still served.
    Leaving,
    /// New requests are refused: they may be repeated elsewhere.
    Refusing,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(inlet: Rc<Inlet>, quic: quinn::Connection) {
    let Ok(mut control) = control::open(&inlet, &quic).await else { return };
    let connection = Rc::new(Connection {
        inlet: inlet.clone(),
        quic: quic.clone(),
        load: Rc::new(Load::new()),
        streams: Rc::new(Streams::default()),
        critical: Cell::new(0),
    });
    let timer = inlet.worker.timers.timer();
    let keepalive = inlet.listener.settings.timeouts.keepalive;
    let mut draining = inlet.worker.draining.clone();
    let mut drained = pin!(async move { draining.wait_for(|on| *on).await.is_ok() });
    let mut requests = pin!(quic.accept_bi());
    let mut others = pin!(quic.accept_uni());
    let (mut stage, mut next) = (Stage::Open, 0);
    loop {
        let event = poll_fn(|cx| {
            if let Poll::Ready(stream) = requests.as_mut().poll(cx) {
                let event = stream.map_or(Event::Closed, |(send, recv)| Event::Request(send, recv));
                return Poll::Ready(event);
            }
            if let Poll::Ready(stream) = others.as_mut().poll(cx) {
                return Poll::Ready(stream.map_or(Event::Closed, Event::Stream));
            }
            if connection.streams.is_flooded() {
                return Poll::Ready(Event::Flood);
            }
            if stage == Stage::Open && drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Drain);
            }
            let quiet = connection.streams.watch(cx);
            match (stage, quiet) {
                (Stage::Open | Stage::Refusing, false) => {
                    timer.disarm();
                    return Poll::Pending;
                }
                (Stage::Open, true) => timer.start(keepalive),
                (Stage::Leaving | Stage::Refusing, _) => timer.start(LAST_WORDS),
            }
            timer.poll(cx).map(|()| Event::Idle)
        });
        match event.await {
            Event::Request(send, recv) => {
                requests.set(quic.accept_bi());
                if stage == Stage::Refusing {
                    reject(send, recv);
                    continue;
                }
                next = quinn::VarInt::from(send.id()).into_inner() + 4;
                let opened = connection.streams.opened();
                let request = request::serve(connection.clone(), opened, send, recv);
                tokio::task::spawn_local(Box::pin(request));
            }
            Event::Stream(recv) => {
                others.set(quic.accept_uni());
                tokio::task::spawn_local(control::serve(connection.clone(), recv));
            }
            Event::Closed => return,
            Event::Flood => return connection.fail(Code::ExcessiveLoad),
            Event::Drain => {
                stage = Stage::Leaving;
                timer.disarm();
                control.goaway(GOAWAY_NONE).await;
            }
            Event::Idle if stage == Stage::Leaving => {
                stage = Stage::Refusing;
                timer.disarm();
                control.goaway(next).await;
            }
            Event::Idle => return connection.fail(Code::NoError),
        }
    }
}

/// RFC 9114 section 5.2: tells the client that nothing was done for it.
fn reject(mut send: SendStream, mut recv: RecvStream) {
    // Either side may be closed already.
    let _ = send.reset(Code::RequestRejected.value());
    let _ = recv.stop(Code::RequestRejected.value());
}
