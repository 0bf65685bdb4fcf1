//! A program's request to the gateway's own routes: driven like a client's, on the same worker and in
//! the same generation, and collected.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use pilotlight_abi::limit::{BODY_COLLECT, SUBREQUEST_DEPTH, SUBREQUESTS};
use pilotlight_filter::host::{FetchError, Subanswer, Subrequest};
use pilotlight_filter::{Exchange, Fields, Name, ResponseHead};
use tokio::sync::oneshot;

use super::fetch::error;
use crate::codec::{Downstream, Gone, Length};
use crate::drive::drive;
use crate::generation::{Listener, Local};
use crate::stream::Stream;
use crate::worker::{Inlet, Worker};

/// Asks, in a task of its own: however deep subrequests stand in each other, none polls another.
pub(super) async fn subrequest(
    worker: Rc<Worker>,
    local: Rc<Local>,
    request: Subrequest,
) -> Result<Subanswer, FetchError> {
    if u64::from(request.parent.depth) > SUBREQUEST_DEPTH {
        return Err(error("subrequests cycle"));
    }
    let place = Place::take(&request.family).ok_or_else(|| error("too many subrequests"))?;
    let mut listeners = local.generation.listeners.iter();
    let listener = listeners.find(|listener| listener.name == request.peer.listener).cloned();
    let listener = listener.ok_or_else(|| error("the client's listener is gone"))?;
    let (to, answer) = oneshot::channel();
    tokio::task::spawn_local(Box::pin(run(worker, local, listener, request, to, place)));
    answer.await.map_err(|_| error("the subrequest broke off"))
}

/// From the request to its log phase.
async fn run(
    worker: Rc<Worker>,
    local: Rc<Local>,
    listener: Arc<Listener>,
    asked: Subrequest,
    to: oneshot::Sender<Subanswer>,
    _place: Place,
) {
    let mut exchange = Exchange::new(worker.serial(), asked.peer.clone(), asked.request);
    exchange.id = asked.id;
    exchange.reroute = asked.route;
    exchange.parent = Some(asked.parent);
    exchange.family = Some(asked.family);
    exchange.properties = asked.properties;
    let inlet = Inlet { worker, listener, peer: asked.peer };
    drive(&inlet, local, &mut exchange, &mut Collector::new(to)).await;
}

/// One of the subrequests that a client's request may have under way.
struct Place(Rc<Cell<u32>>);

impl Place {
    fn take(family: &Rc<Cell<u32>>) -> Option<Place> {
        let taken = family.get();
        (u64::from(taken) < SUBREQUESTS).then(|| {
            family.set(taken + 1);
            Place(family.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Takes the answer of a subrequest.
struct Collector {
    /// Who waits for it, until it has it.
    to: Option<oneshot::Sender<Subanswer>>,
    head: ResponseHead,
    body: BytesMut,
    truncated: bool,
}

impl Collector {
    fn new(to: oneshot::Sender<Subanswer>) -> Collector {
        let (head, body) = (ResponseHead::default(), BytesMut::new());
        Collector { to: Some(to), head, body, truncated: false }
    }

    fn hand_over(&mut self) {
        if let Some(to) = self.to.take() {
            let (head, body) = (std::mem::take(&mut self.head), std::mem::take(&mut self.body));
            // Who does not wait any more misses nothing.
            let _ = to.send(Subanswer { head, body: body.freeze(), truncated: self.truncated });
        }
    }
}

impl Downstream for Collector {
    fn interim(&mut self, _: &ResponseHead) {}

    fn head(&mut self, head: &ResponseHead, length: Length) {
        self.head = head.clone();
        // No codec frames this one: what it would say, the asking script looks for.
        if let Length::Exact(length) = length {
            self.head.fields.replace(Name::ContentLength, length.to_string().as_bytes());
        }
    }

    fn data(&mut self, chunk: Bytes) {
        let room = BODY_COLLECT as usize - self.body.len();
        self.truncated |= chunk.len() > room;
        self.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    fn finish(&mut self, _: Option<&Fields>) {
        self.hand_over();
    }

    fn abort(&mut self) {
        self.truncated = true;
        if self.head.status != 0 {
            self.hand_over();
        }
        self.to = None;
    }

    fn queued(&self) -> usize {
        0
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.to {
            Some(to) => to.poll_closed(cx),
            None => Poll::Pending,
        }
    }

    fn tunnel(&mut self) -> Option<(Stream, Bytes)> {
        None
    }
}
