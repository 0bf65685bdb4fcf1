//! HTTP/2 (RFC 9113): frames and HPACK of our own, one core for both roles, and the client's side of
//! the gateway.
//!
//! ```text
//! transport ─▶ frame ─▶ receive ─┐                 ┌─ Link ◀─ Reply, RequestBody ◀─ drive
//!     ▲                          ├─ core: streams ─┤
//!     └─────────── wire ◀─ send ─┘                 └─ Link ◀─ upstream::h2
//! ```
//! The connection's task owns the transport; exchanges run in tasks of their own, and wake it when
//! there is something to write. All of it leaves in one write. An idle connection holds no buffer.

mod body;
mod core;
mod data;
mod frame;
mod guard;
mod heads;
mod hpack;
mod link;
mod receive;
mod reply;
mod send;
mod stream;
mod transport;
mod wire;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_filter::{Body, Exchange, ResponseHead};

pub(crate) use self::body::ResponseBody;
pub(crate) use self::core::{Core, Server};
pub(crate) use self::frame::Code;
pub(crate) use self::hpack::request;
pub(crate) use self::link::{Half, Link};
pub(crate) use self::stream::Failure;
pub(crate) use self::transport::{End, Transport};

use self::body::RequestBody;
use self::core::{Announced, Arrived, Stage};
use self::reply::Reply;
use super::h1::head::BadHead;
use super::linger::linger;
use super::streams::{Opened, Streams};
use super::{Downstream, Length};
use crate::answer;
use crate::drive::drive;
use crate::stream::Stream;
use crate::timer::Timer;
use crate::worker::Inlet;

/// Room for a stream's body that we have not read yet, and for all streams of a connection.
const WINDOWS: (u32, u32) = (64 * 1024, 1024 * 1024);
/// A connection that ends gets this long to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(crate) async fn serve(inlet: Rc<Inlet>, stream: Stream) {
    let mut connection = Connection::new(inlet.clone(), stream);
    let end = poll_fn(|cx| connection.poll(cx)).await;
    let Connection { core, mut transport, timer, .. } = connection;
    core.borrow_mut().fail(Failure::Lost);
    let End::Fault(code) = end else { return };
    // Boxed, so that an idle connection is small.
    Box::pin(async move {
        core.borrow_mut().goaway(code);
        timer.disarm();
        timer.arm(LAST_WORDS);
        poll_fn(|cx| match transport.write(cx, &mut core.borrow_mut()) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => timer.poll(cx),
        })
        .await;
        linger(&inlet.worker, &mut transport.into_stream()).await;
    })
    .await;
}

struct Connection {
    inlet: Rc<Inlet>,
    core: Rc<RefCell<Core>>,
    transport: Transport,
    streams: Rc<Streams>,
    timer: Timer,
    wait: Wait,
}

/// What the connection's timer runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Exchanges are under way: they have timers of their own.
    Nothing,
    /// The rest of the preface, or of a head.
    Head,
    /// The next request.
    Request,
    /// The end.
    Leave,
}

impl Connection {
    fn new(inlet: Rc<Inlet>, stream: Stream) -> Connection {
        let (worker, peer) = (inlet.worker.clone(), inlet.peer.clone());
        let spare = Box::new(move || {
            let mut exchange = worker.spares.take(&peer);
            exchange.request.head.fields.adopt(worker.buffers.take());
            exchange
        });
        let streams = inlet.listener.settings.limits.streams as usize;
        let secure = inlet.peer.tls.is_some();
        let server = Server::new(streams, secure, inlet.worker.clock, spare);
        Connection {
            core: Rc::new(RefCell::new(Core::server(server, inlet.bounds(), WINDOWS))),
            transport: Transport::new(stream),
            streams: Rc::default(),
            timer: inlet.worker.timers.timer(),
            wait: Wait::Nothing,
            inlet,
        }
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let exchanged = self.transport.exchange(cx, &self.core);
        for arrived in self.core.borrow_mut().arrived() {
            let opened = self.streams.opened();
            tokio::task::spawn_local(Box::pin(begin(
                self.inlet.clone(),
                self.core.clone(),
                opened,
                arrived,
            )));
        }
        if let Err(end) = exchanged {
            return Poll::Ready(end);
        }
        if self.streams.is_flooded() {
            return Poll::Ready(End::Fault(Code::CALM));
        }
        let idle = self.streams.watch(cx) && self.core.borrow().is_idle();
        let stage = self.core.borrow().stage();
        if stage == Stage::Refusing && idle {
            return Poll::Ready(End::Fault(Code::NO_ERROR));
        }
        if stage == Stage::Open && self.inlet.worker.is_draining() {
            self.core.borrow_mut().leave();
            // To write it.
            return self.poll(cx);
        }
        let wait = match stage {
            _ if self.core.borrow().is_mid_block() => Wait::Head,
            Stage::Leaving => Wait::Leave,
            _ if idle => Wait::Request,
            _ => Wait::Nothing,
        };
        let timeouts = &self.inlet.listener.settings.timeouts;
        if std::mem::replace(&mut self.wait, wait) != wait {
            self.timer.disarm();
        }
        match wait {
            Wait::Nothing => {}
            Wait::Head => self.timer.start(timeouts.header),
            Wait::Request => self.timer.start(timeouts.keepalive),
            Wait::Leave => self.timer.start(LAST_WORDS),
        }
        // Also the way on which a drain is heard of.
        if self.timer.poll(cx).is_pending() {
            return Poll::Pending;
        }
        match wait {
            Wait::Leave => {
                self.core.borrow_mut().refuse();
                self.timer.disarm();
                self.poll(cx)
            }
            Wait::Head => Poll::Ready(End::Fault(Code::CANCEL)),
            Wait::Request | Wait::Nothing => Poll::Ready(End::Fault(Code::NO_ERROR)),
        }
    }
}

/// One exchange, from its head to its end.
async fn begin(inlet: Rc<Inlet>, core: Rc<RefCell<Core>>, opened: Opened, arrived: Arrived) {
    let Arrived { id, mut exchange, head } = arrived;
    let worker = &inlet.worker;
    match Link::new(&core, id, Half::Writer) {
        // It was reset before anyone looked at it.
        None => opened.cancelled(),
        Some(link) => {
            let mut reply = Reply::new(inlet.clone(), link);
            match head {
                Ok(announced) => {
                    exchange.serial = worker.serial();
                    exchange.request.body = body(&inlet, &core, id, &announced, &mut reply);
                    drive(&inlet, worker.local(), &mut exchange, &mut reply).await;
                }
                Err(bad) => {
                    // Nobody reads what follows.
                    drop(Link::new(&core, id, Half::Reader));
                    refuse(&inlet, &exchange, &mut reply, bad).await;
                }
            }
            if reply.was_cancelled() {
                opened.cancelled();
            }
        }
    }
    worker.buffers.put(exchange.response.head.fields.adopt(Vec::new()));
    worker.buffers.put(exchange.request.head.fields.adopt(Vec::new()));
    exchange.renew(0);
    worker.spares.put(exchange);
}

fn body(
    inlet: &Inlet,
    core: &Rc<RefCell<Core>>,
    id: u32,
    announced: &Announced,
    reply: &mut Reply,
) -> Body {
    if announced.ends {
        return Body::empty();
    }
    let Some(link) = Link::new(core, id, Half::Reader) else { return Body::empty() };
    let asked = announced.expects.then(|| reply.expects());
    let idle = inlet.listener.settings.timeouts.body_idle;
    let timer = inlet.worker.timers.timer();
    Body::stream(Box::new(RequestBody { link, timer, idle, asked }), announced.length)
}

/// Malformed requests are stream errors (RFC 9113 section 8.1.1); others have an answer.
async fn refuse(inlet: &Inlet, exchange: &Exchange, reply: &mut Reply, bad: BadHead) {
    let mut head = ResponseHead::default();
    let body = answer::refusal(inlet, &mut head, &exchange.request.head, bad.status, bad.detail);
    if bad.status == 400 {
        return reply.reset(Code::PROTOCOL);
    }
    reply.head(&head, Length::Exact(body.len() as u64));
    reply.data(body);
    reply.finish(None);
    // A client that is gone misses nothing.
    let _ = poll_fn(|cx| reply.poll_flush(cx)).await;
}
