//! After a protocol switch: bytes both ways until both sides have ended or nothing moves.

use std::time::Duration;

use bytes::Bytes;
use pilotlight_abi::Phase;
use pilotlight_filter::{Exchange, Passed};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Left;
use super::turn::Turn;
use crate::codec::{Downstream, Length};
use crate::stream::Stream;

/// The upstream's side of a tunnel.
pub(super) struct Switched {
    pub(super) stream: Stream,
    /// What was read behind the upstream's 101.
    pub(super) rest: Bytes,
}

/// Bytes of one copy.
const CHUNK: usize = 16 * 1024;
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
        let (sent, received) = join(client, early, switched.stream, switched.rest).await;
        exchange.stats.sent += sent;
        exchange.stats.received += received;
    }
}

/// Copies both ways; gives the bytes to the client and from it.
async fn join(client: Stream, early: Bytes, upstream: Stream, rest: Bytes) -> (u64, u64) {
    let (mut client_in, mut client_out) = tokio::io::split(client);
    let (mut upstream_in, mut upstream_out) = tokio::io::split(upstream);
    tokio::join!(
        copy(rest, &mut upstream_in, &mut client_out),
        copy(early, &mut client_in, &mut upstream_out),
    )
}

async fn copy(
    first: Bytes,
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> u64 {
    let mut count = first.len() as u64;
    if to.write_all(&first).await.is_err() {
        return 0;
    }
    let mut buffer = vec![0; CHUNK];
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(IDLE, from.read(&mut buffer)).await {
        if to.write_all(&buffer[..read]).await.is_err() || to.flush().await.is_err() {
            return count;
        }
        count += read as u64;
    }
    drop(to.shutdown().await);
    count
}
