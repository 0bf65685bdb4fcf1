//! The filters of a connection without HTTP, with what they work on.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use pilotlight_abi::Phase;
use pilotlight_filter::exchange::{Link, Request, Server};
use pilotlight_filter::{Chain, Chunk, Closed, Exchange, Flow, Passed, Side};

use super::Passage;
use crate::drive::{LOG_TIME, Watch};
use crate::generation::Local;
use crate::worker::{Inlet, Worker};

/// See the module.
pub(crate) struct Gate {
    chain: Chain,
    exchange: Box<Exchange>,
    watch: Watch,
}

impl Gate {
    /// The filters of a listener for a new connection, if it has any.
    #[cold]
    pub(super) fn open(
        inlet: &Inlet,
        local: &Rc<Local>,
        listener: usize,
        passage: &Passage,
    ) -> Option<Box<Gate>> {
        let chain = local.gate(listener)?;
        let worker = &inlet.worker;
        let mut exchange = Exchange::new(worker.serial(), inlet.peer.clone(), Request::default());
        exchange.flow = Some(Box::new(Flow::default()));
        exchange.upstream = Some(passage.upstream.clone());
        exchange.stats.started = passage.began;
        let watch = Watch::of_listener(worker.clone(), local.clone(), listener);
        Some(Box::new(Gate { chain, exchange: Box::new(exchange), watch }))
    }

    /// The upstream that filters have picked, or the listener's.
    pub(super) fn upstream(&self) -> Option<&Arc<str>> {
        self.exchange.upstream.as_ref()
    }

    /// The upstream is there, or can't be reached.
    pub(super) fn asked(&mut self, passage: &Passage, link: Option<Rc<Link>>) {
        let failure = passage.error.unwrap_or_default();
        let server = passage.endpoint.clone();
        self.exchange.server = server.map(|address| Box::new(Server { address, link, failure }));
        let stats = &mut self.exchange.stats;
        (stats.connect, stats.retries) = (passage.connect, passage.retries);
    }

    /// See [`Chain::flow`].
    pub(crate) fn sift(
        &mut self,
        cx: &mut Context<'_>,
        from: Side,
        chunk: &mut Chunk,
    ) -> Poll<Passed> {
        self.chain.flow(cx, &mut self.exchange, from, chunk, &self.watch)
    }

    /// Whether filters hold as much of a direction as they may.
    pub(crate) fn is_full(&self, from: Side) -> bool {
        self.exchange.flow.as_ref().is_some_and(|flow| flow.full[from as usize])
    }

    /// The last phase; what filters have left for the log comes back.
    pub(super) async fn close(
        self: Box<Self>,
        worker: &Rc<Worker>,
        closed: Closed,
        passage: &Passage,
    ) -> Box<Exchange> {
        let Gate { mut chain, mut exchange, watch } = *self;
        if let Some(flow) = &mut exchange.flow {
            flow.closed = closed;
        }
        let stats = &mut exchange.stats;
        (stats.received, stats.sent) = (passage.received, passage.sent);
        stats.duration = passage.duration;
        let timer = worker.timers.timer();
        timer.arm(LOG_TIME);
        poll_fn(|cx| match chain.poll(cx, Phase::Log, &mut exchange, None, &watch) {
            Poll::Pending => timer.poll(cx),
            Poll::Ready(_) => Poll::Ready(()),
        })
        .await;
        exchange
    }
}
