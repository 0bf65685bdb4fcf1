//! A connection goes back to its pool.

use std::task::{Context, Poll, Waker};

use pilotlight_filter::host::Services;

use super::Sockets;
use super::stream::{Stream, Wire};
use super::waiting::{Outcome, Settled};
use super::words::{CLOSED, Failure, debug};

/// Puts a stream's connection into a pool. `keep` is in seconds, `INFINITY` for as long as its peer
/// keeps it.
pub(crate) fn keepalive(
    sockets: &Sockets,
    stream: &mut Stream,
    key: &[u8],
    size: usize,
    keep: f64,
    services: &dyn Services,
) -> Settled {
    if stream.ended || stream.read_closed || stream.write_closed {
        return Err(Failure::new(CLOSED));
    }
    if !stream.input.unread().is_empty() {
        return Err(Failure::new("unread data in buffer"));
    }
    let Wire::Link(mut link) = std::mem::replace(&mut stream.wire, Wire::None) else {
        return Err(Failure::new(CLOSED));
    };
    let seat = stream.seat.take();
    stream.shut();
    let mut said = Vec::new();
    match link.socket.poll_read(&mut Context::from_waker(Waker::noop()), &mut said, 1) {
        Poll::Pending => {}
        Poll::Ready(Ok(0)) => return Err(Failure::new(CLOSED)),
        Poll::Ready(_) => return Err(Failure::new("connection in dubious state")),
    }
    let pool = sockets.pools.get_or_make(key, size, None);
    debug(services, || match keep.is_finite() {
        true => format!("lua tcp socket keepalive timeout: {} ms", (keep * 1000.0).round()),
        false => "lua tcp socket keepalive timeout: unlimited".to_owned(),
    });
    pool.put(link, seat, keep);
    Ok(Outcome::Done)
}
