//! How a connection closes so that its client sees the last answer.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use crate::stream::Stream;
use crate::worker::Worker;

/// A client may still be writing while it is told to stop: this much is read away.
pub(super) const DRAIN_BYTES: usize = 64 * 1024;
/// For so long.
pub(super) const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Says that we are done, then reads away what the client still sends for a moment (RFC 9112
/// section 9.6).
pub(crate) async fn linger(worker: &Worker, stream: &mut Stream) {
    if matches!(stream, Stream::Closed) {
        return;
    }
    let timer = worker.timers.timer();
    timer.arm(DRAIN_TIME);
    let mut waste = Vec::new();
    let mut read = 0;
    poll_fn(|cx| {
        if timer.poll(cx).is_ready() || ready!(stream.poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        loop {
            ready!(stream.poll_readable(cx));
            waste.clear();
            waste.reserve(4096);
            match ready!(stream.poll_read(cx, &mut waste)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(more) => read += more,
            }
            if read > DRAIN_BYTES {
                return Poll::Ready(());
            }
        }
    })
    .await;
}
