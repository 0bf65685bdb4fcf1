//! The phase `connect`: a listener's filters look at a connection before its first request.

use std::future::poll_fn;
use std::task::Poll;

use pilotlight_abi::Phase;
use pilotlight_filter::exchange::Request;
use pilotlight_filter::host::Level;
use pilotlight_filter::{Exchange, Passed};

use super::watch::Watch;
use crate::worker::Inlet;

/// Whether a connection may stay: a filter that answers, fails, or takes longer than a handshake may
/// sends it away.
pub(crate) async fn connect(inlet: &Inlet) -> bool {
    let local = inlet.worker.local();
    let Some((listener, mut chain)) = local.door(&inlet.listener.name) else { return true };
    let worker = &inlet.worker;
    let watch = Watch::of_listener(worker.clone(), local, listener);
    let mut exchange = Exchange::new(worker.serial(), inlet.peer.clone(), Request::default());
    let timer = worker.timers.timer();
    timer.arm(inlet.listener.settings.timeouts.handshake);
    let passed = poll_fn(|cx| match chain.poll(cx, Phase::Connect, &mut exchange, None, &watch) {
        Poll::Pending => timer.poll(cx).map(|()| None),
        Poll::Ready(passed) => Poll::Ready(Some(passed)),
    })
    .await;
    let stays = passed == Some(Passed::Through);
    if !stays {
        let fields = [("client", &*inlet.peer.text), ("listener", &*inlet.listener.name)];
        worker.log.event(Level::Info, "a filter refused a connection", &fields);
    }
    stays
}
