//! Connections to endpoints whose handshakes filters take part in: one for each try.

use std::future::poll_fn;
use std::task::Poll;

use pilotlight_abi::Phase;
use pilotlight_filter::{Exchange, Passed};

use super::Left;
use super::turn::Turn;
use crate::codec::Downstream;
use crate::tls::Apart;
use crate::upstream::{Lease, Outbound, UpstreamError};

impl Turn<'_> {
    /// Whether this try needs a connection of its own.
    #[inline]
    pub(super) fn is_apart(&self, exchange: &Exchange) -> bool {
        exchange.handshake.is_some()
            || self.chain.wants(Phase::UpstreamCertificate)
            || self.chain.wants(Phase::UpstreamVerify)
    }

    /// Opens it.
    pub(super) async fn meet(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        lease: &mut Lease,
    ) -> Result<Result<Outbound, UpstreamError>, Left> {
        exchange.handshake.get_or_insert_default();
        self.limit(Some(lease.meant().timeouts.connect));
        let refused = UpstreamError::Tls;
        let asked = self.ask(Phase::UpstreamCertificate, refused, exchange, down).await?;
        if let Err(error) = asked {
            return Ok(Err(error));
        }
        self.limit(None);
        let mut handshake = exchange.handshake.take().unwrap_or_default();
        let (meant, all) = (lease.meant(), &self.local.generation.client_tls);
        let apart = Apart::new(all, &meant.tls, meant.protocol, &handshake);
        let Ok(apart) = apart else { return Ok(Err(UpstreamError::Certificate)) };
        let mut meeting = Box::pin(lease.meet(&apart));
        let met = poll_fn(|cx| {
            if let Poll::Ready(met) = meeting.as_mut().poll(cx) {
                return Poll::Ready(Ok(met));
            }
            if self.timer.poll(cx).is_ready() {
                return Poll::Ready(Ok(Err(UpstreamError::ConnectTimeout)));
            }
            down.poll_gone(cx).map(|()| Err(Left))
        });
        let met = met.await?;
        drop(meeting);
        let (mut met, permit) = match met {
            Ok(met) => met,
            Err(error) => return Ok(Err(error)),
        };
        (handshake.flaw, handshake.shown) = (met.flaw, std::mem::take(&mut met.chain));
        handshake.spoken = met.version;
        exchange.handshake = Some(handshake);
        self.limit(Some(lease.meant().timeouts.connect));
        let refused = UpstreamError::Certificate;
        let asked = self.ask(Phase::UpstreamVerify, refused, exchange, down).await?;
        self.limit(None);
        if let Err(error) = asked {
            return Ok(Err(error));
        }
        let flaw = exchange.handshake.take().is_none_or(|handshake| handshake.flaw != 0);
        if apart.verify && (flaw || met.misnamed) {
            return Ok(Err(refused));
        }
        Ok(Ok(lease.adopt(met, permit)))
    }

    /// Runs a phase; an error ends the handshake: `refused` when a filter does.
    async fn ask(
        &mut self,
        phase: Phase,
        refused: UpstreamError,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
    ) -> Result<Result<(), UpstreamError>, Left> {
        if !self.chain.wants(phase) {
            return Ok(Ok(()));
        }
        poll_fn(|cx| {
            let polled = self.chain.poll(cx, phase, exchange, None, &self.watch);
            if let Poll::Ready(passed) = polled {
                // The client is told of an upstream that can't be reached.
                exchange.page = None;
                let through = passed == Passed::Through;
                return Poll::Ready(Ok(if through { Ok(()) } else { Err(refused) }));
            }
            if self.timer.poll(cx).is_ready() {
                self.chain.abandon();
                return Poll::Ready(Ok(Err(UpstreamError::ConnectTimeout)));
            }
            down.poll_gone(cx).map(|()| Err(Left))
        })
        .await
    }
}
