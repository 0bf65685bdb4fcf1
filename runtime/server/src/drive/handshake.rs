//! The phases of a client's TLS handshake: a listener's filters take part in it.

use std::future::poll_fn;
use std::rc::Rc;

use pilotlight_abi::Phase;
use pilotlight_filter::exchange::{Heirlooms, Request};
use pilotlight_filter::{Chain, Exchange, Handshake, Passed, Peer};

use super::watch::Watch;
use crate::tls::Steps;
use crate::worker::Worker;

/// The filters of a handshake. Whoever waits for them bounds the time.
pub(crate) struct Stages {
    chain: Chain,
    watch: Watch,
    exchange: Exchange,
}

impl Stages {
    /// `None`: no filter of the listener takes part.
    pub(crate) fn open(worker: &Rc<Worker>, peer: &Rc<Peer>) -> Option<Stages> {
        let local = worker.local();
        let (listener, chain) = local.stages(&peer.listener)?;
        let watch = Watch::of_listener(worker.clone(), local, listener);
        let exchange = Exchange::new(worker.serial(), peer.clone(), Request::default());
        Some(Stages { chain, watch, exchange })
    }

    /// What its filters leave for the requests of the connection.
    pub(crate) fn heirlooms(mut self) -> Heirlooms {
        let handshake = self.exchange.handshake.take();
        Heirlooms(handshake.map_or_else(Vec::new, |handshake| handshake.heirlooms))
    }
}

impl Steps for Stages {
    fn handshake(&mut self) -> &mut Handshake {
        self.exchange.handshake.get_or_insert_default()
    }

    fn wants(&self, phase: Phase) -> bool {
        self.chain.wants(phase)
    }

    async fn run(&mut self, phase: Phase) -> bool {
        if !self.chain.wants(phase) {
            return true;
        }
        let Stages { chain, watch, exchange } = self;
        let passed = poll_fn(|cx| chain.poll(cx, phase, exchange, None, watch)).await;
        passed == Passed::Through
    }
}
