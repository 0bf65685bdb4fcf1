//! HTTP/2, the client's side (RFC 9113): frames by the h2 crate, one task a stream, and the limits
//! that keep a hostile peer cheap.

pub(crate) mod flow;
mod guard;
mod reply;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use pilotlight_filter::{Body, Exchange, Version, exchange};

use self::flow::RequestBody;
use self::guard::{Guard, Guarded};
use self::reply::Reply;
use super::convert::{self, Lines};
use super::h1::head::{BadHead, Bounds};
use super::streams::{Opened, Streams};
use crate::answer;
use crate::drive::drive;
use crate::stream::Stream;
use crate::worker::Inlet;

/// Room for a stream's body that we have not read yet.
pub(crate) const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a response that the h2 crate may hold for a stream.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;
/// Streams reset by either side that are remembered, to tell late frames from wrong ones.
const RESET_REMEMBERED: usize = 50;
/// Streams that the peer may reset before we have looked at them.
const RESET_UNSEEN: usize = 20;
/// Streams that the peer may make us reset (CVE-2025-8671).
const RESET_PROVOKED: usize = 200;
/// A connection that ends gets this long to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves a connection until it ends. `ahead`: what was read of it already.
pub(crate) async fn serve(inlet: Rc<Inlet>, stream: Stream, ahead: Bytes) {
    let timeouts = &inlet.listener.settings.timeouts;
    let timer = inlet.worker.timers.timer();
    timer.arm(timeouts.header);
    let guard = Rc::new(Guard::new(inlet.worker.clock));
    let transport = Guarded::new(stream, ahead, guard.clone());
    let connection = {
        let mut handshake = pin!(builder(&inlet).handshake::<_, Bytes>(transport));
        poll_fn(|cx| match handshake.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done.ok()),
            Poll::Pending => timer.poll(cx).map(|()| None),
        })
        .await
    };
    timer.disarm();
    let Some(mut connection) = connection else { return };

    let streams = Rc::new(Streams::default());
    let mut draining = inlet.worker.draining.clone();
    let mut drained = pin!(async move { draining.wait_for(|on| *on).await.is_ok() });
    let (mut ending, mut graceful) = (false, false);
    loop {
        let event = poll_fn(|cx| {
            if let Poll::Ready(next) = connection.poll_accept(cx) {
                return Poll::Ready(match next {
                    Some(Ok((request, respond))) => Event::Stream(request, respond),
                    Some(Err(_)) | None => Event::Closed,
                });
            }
            if !ending && (guard.is_flooded() || streams.is_flooded()) {
                return Poll::Ready(Event::Flood);
            }
            if !graceful && drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Drain);
            }
            if ending {
                return timer.poll(cx).map(|()| Event::Closed);
            }
            if !streams.watch(cx) {
                timer.disarm();
                return Poll::Pending;
            }
            timer.start(if graceful { LAST_WORDS } else { timeouts.keepalive });
            timer.poll(cx).map(|()| Event::Idle)
        });
        match event.await {
            Event::Stream(request, respond) => begin(&inlet, &streams, request, respond),
            Event::Closed => return,
            Event::Drain => {
                graceful = true;
                timer.disarm();
                connection.graceful_shutdown();
            }
            end @ (Event::Idle | Event::Flood) => {
                let reason = match end {
                    Event::Flood => Reason::ENHANCE_YOUR_CALM,
                    _ => Reason::NO_ERROR,
                };
                ending = true;
                timer.arm(LAST_WORDS);
                connection.abrupt_shutdown(reason);
            }
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "one at a time, taken apart at once")]
enum Event {
    Stream(Request<RecvStream>, SendResponse<Bytes>),
    /// The connection is over.
    Closed,
    /// Nothing went on for too long.
    Idle,
    /// The peer keeps us busy with nothing.
    Flood,
    /// The gateway ends.
    Drain,
}

fn builder(inlet: &Inlet) -> Builder {
    let limits = &inlet.listener.settings.limits;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(RESET_REMEMBERED)
        .max_pending_accept_reset_streams(RESET_UNSEEN)
        .max_local_error_reset_streams(Some(RESET_PROVOKED));
    builder
}

/// A request has come: refuses it here, or gives it a task.
fn begin(
    inlet: &Rc<Inlet>,
    streams: &Rc<Streams>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let limits = &inlet.listener.settings.limits;
    let bounds =
        Bounds { bytes: limits.header_bytes, fields: limits.headers, uri: limits.uri_bytes };
    let lines = Lines::new(Version::Http2, bounds, inlet.worker.buffers.take());
    let (parts, body) = request.into_parts();
    let ends = body.is_end_stream();
    let secure = inlet.peer.tls.is_some();
    match convert::request(&parts, lines, ends, secure) {
        Ok(head) => {
            let stream = Box::pin(exchange(inlet.clone(), streams.opened(), head, body, respond));
            tokio::task::spawn_local(stream);
        }
        Err(bad) => refuse(inlet, &parts, &mut respond, bad),
    }
}

/// Malformed requests are stream errors (RFC 9113 section 8.1.1); others have an answer.
fn refuse(
    inlet: &Inlet,
    parts: &http::request::Parts,
    respond: &mut SendResponse<Bytes>,
    bad: BadHead,
) {
    let mut head = pilotlight_filter::ResponseHead::default();
    let request = convert::sketch(parts, Version::Http2);
    let body = answer::refusal(inlet, &mut head, &request, bad.status, bad.detail);
    if bad.status == 400 {
        respond.send_reset(Reason::PROTOCOL_ERROR);
        return;
    }
    let response = reply::response(&head, super::Length::Exact(body.len() as u64));
    // The peer may have gone meanwhile: then nobody misses the answer.
    if let Ok(mut stream) = respond.send_response(response, false) {
        drop(stream.send_data(body, true));
    }
}

/// One exchange, from its head to its end.
async fn exchange(
    inlet: Rc<Inlet>,
    opened: Opened,
    head: convert::Head,
    body: RecvStream,
    respond: SendResponse<Bytes>,
) {
    let mut reply = Reply::new(inlet.clone(), respond);
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        let asked = head.expects.then(|| reply.expects());
        let idle = inlet.listener.settings.timeouts.body_idle;
        let timer = inlet.worker.timers.timer();
        Body::stream(Box::new(RequestBody::new(body, timer, idle, asked)), head.length)
    };
    let request = exchange::Request { head: head.head, body, ..Default::default() };
    let mut exchange = Exchange::new(inlet.worker.serial(), inlet.peer.clone(), request);
    drive(&inlet, &mut exchange, &mut reply).await;
    if reply.was_cancelled() {
        opened.cancelled();
    }
    let buffers = &inlet.worker.buffers;
    buffers.put(exchange.request.head.fields.adopt(Vec::new()));
    buffers.put(exchange.response.head.fields.adopt(Vec::new()));
}
