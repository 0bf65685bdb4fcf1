//! After a protocol switch: bytes both ways until both sides have ended or nothing moves.

use std::time::Duration;

use bytes::Bytes;
use pilotlight_abi::Phase;
use pilotlight_filter::{Exchange, Passed};

use super::Left;
use super::turn::Turn;
use crate::codec::{Downstream, Length};
use crate::relay::Relay;
use crate::stream::Stream;

/// The upstream's side of a tunnel.
pub(super) struct Switched {
    pub(super) stream: Stream,
    /// What was read behind the upstream's 101.
    pub(super) rest: Bytes,
}

/// A tunnel in which nothing moves is closed after this long.
const IDLE: Duration = Duration::from_secs(3600);

impl Turn<'_> {
    pub(super) async fn tunnel(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        switched: Switched,
    ) {
        match self.walk(Phase::Response, exchange, down).await {
            Ok(Passed::Through) => {}
            Ok(stopped) => return self.refuse(exchange, down, stopped).await,
            Err(Left) => return self.leave(exchange, down),
        }
        down.head(&exchange.response.head, Length::None);
        let flushed = std::future::poll_fn(|cx| down.poll_flush(cx)).await;
        let (Ok(()), Some((client, early))) = (flushed, down.tunnel()) else {
            return self.leave(exchange, down);
        };
        self.timer.disarm();
        // It may last for days, and asks little of anybody: it is none of those that are let in at a time.
        self.answered(exchange);
        self.passes = None;
        let (ends, read) = ([client, switched.stream], [early, switched.rest]);
        let mut relay = Relay::new(&self.inlet.worker, ends, read, IDLE, None);
        relay.run().await;
        let (received, sent) = relay.counts();
        exchange.stats.sent += sent;
        exchange.stats.received += received;
    }
}
