//! Requests of a program's own that pass piece by piece, both ways at once.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::host::{Fetch, FetchError, Heard, Talk};
use pilotlight_filter::{Body, Fields, Frame, ResponseHead};
use tokio::time::{Sleep, sleep};

use super::fetch::{self, Asked, error};
use crate::codec::Length;
use crate::generation::Local;
use crate::upstream::{Incoming, Lease, Outbound, UpstreamError};
use crate::worker::Worker;

pub(super) async fn talk(
    worker: Rc<Worker>,
    local: Rc<Local>,
    request: Fetch,
) -> Result<Box<dyn Talk>, FetchError> {
    let (upstream, head) = fetch::prepare(&worker, &local, &request)?;
    let own = &upstream.shared.meant.timeouts;
    let pace = request.waits.map(|waits| Pace {
        first_byte: waits.first_byte.unwrap_or(own.first_byte),
        between_bytes: waits.between_bytes.unwrap_or(own.idle),
        waiting: None,
    });
    let connect = request.waits.map(|waits| waits.connect.unwrap_or(own.connect));
    let (ended, told) = (request.whole, false);
    if ended {
        let limits = connect.zip(pace.as_ref().map(|pace| pace.first_byte));
        let asked = fetch::ask(&worker, &upstream, &head, &request, limits).await?;
        let Asked { out, response, body, lease } = asked;
        let body = Some(body);
        return Ok(Box::new(Under { out, response, body, ended, told, pace, _lease: lease }));
    }
    let mut lease = upstream.reach(&worker, &[]).await.map_err(|e| error(e.to_string()))?;
    // A connection that was kept may be closing just now, and what is sent piece by piece can't be
    // sent again.
    let opened = fetch::within(connect, UpstreamError::ConnectTimeout, lease.connect(true)).await;
    let mut out = opened.map_err(|e| error(e.to_string()))?;
    let length = request.length.map_or(Length::Unknown, Length::Exact);
    out.head(&head, length, None).map_err(|e| error(e.to_string()))?;
    let (response, body) = (ResponseHead::default(), None);
    Ok(Box::new(Under { out, response, body, ended, told, pace, _lease: lease }))
}

fn late() -> FetchError {
    error(UpstreamError::ResponseTimeout.to_string())
}

/// A request under way.
struct Under {
    out: Outbound,
    response: ResponseHead,
    /// The response's, once its head is here.
    body: Option<Body>,
    /// The request has ended.
    ended: bool,
    /// The head was told.
    told: bool,
    pace: Option<Pace>,
    _lease: Lease,
}

/// How long the upstream may keep us waiting, and since when it does.
struct Pace {
    first_byte: Duration,
    between_bytes: Duration,
    /// With the bytes that were queued then: it moves when these do.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
}

impl Pace {
    /// Ready when it took too long.
    fn poll(&mut self, cx: &mut Context<'_>, queued: usize, limit: Duration) -> Poll<()> {
        let moved = self.waiting.as_ref().is_none_or(|(before, _)| *before != queued);
        let since = || (queued, Box::pin(sleep(limit)));
        let waiting = match moved {
            true => self.waiting.insert(since()),
            false => self.waiting.get_or_insert_with(since),
        };
        waiting.1.as_mut().poll(cx)
    }
}

impl Under {
    /// Ready when the upstream has kept it waiting for too long. `reads`: its answer is wanted.
    fn poll_late(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<()> {
        let Some(pace) = &mut self.pace else { return Poll::Pending };
        let queued = self.out.queued();
        let limit = match &self.body {
            _ if queued > 0 => pace.between_bytes,
            None if self.ended => pace.first_byte,
            Some(_) if reads => pace.between_bytes,
            // It is the program that the upstream waits for.
            _ => {
                pace.waiting = None;
                return Poll::Pending;
            }
        };
        pace.poll(cx, queued, limit)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        loop {
            return match self.out.poll_response(cx, &mut self.response) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(Incoming::Interim)) => continue,
                Poll::Ready(Ok(Incoming::Final(body))) => {
                    self.body = Some(body);
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(Ok(Incoming::Switched(..))) => {
                    Poll::Ready(Err(error("the upstream switched protocols")))
                }
                Poll::Ready(Err(failed)) => Poll::Ready(Err(error(failed.to_string()))),
            };
        }
    }

    fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Heard>, FetchError>> {
        if let Poll::Ready(Err(failed)) = self.out.poll_flush(cx)
            && self.body.is_none()
        {
            return Poll::Ready(Err(error(failed.to_string())));
        }
        if self.body.is_none() {
            std::task::ready!(self.poll_head(cx))?;
        }
        if !std::mem::replace(&mut self.told, true) {
            let fields = fetch::list(&self.response.fields);
            return Poll::Ready(Ok(Some(Heard::Head(self.response.status, fields))));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
        body.poll_frame(cx).map(|frame| match frame {
            None => Ok(None),
            Some(Ok(Frame::Data(data))) => Ok(Some(Heard::Data(data))),
            Some(Ok(Frame::Trailers(trailers))) => {
                Ok(Some(Heard::Trailers(fetch::list(&trailers))))
            }
            Some(Err(failed)) => Err(error(failed.to_string())),
        })
    }
}

impl Talk for Under {
    fn send(&mut self, data: Bytes) {
        self.out.data(data);
    }

    fn queued(&self) -> usize {
        self.out.queued()
    }

    fn finish(&mut self, trailers: &[(String, Vec<u8>)]) {
        let mut fields = Fields::default();
        // What is no field was refused where the program made it.
        let _ = fetch::put(&mut fields, trailers);
        self.out.finish((!fields.is_empty()).then_some(&fields));
        self.ended = true;
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        match self.out.poll_flush(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|failed| error(failed.to_string()))),
            Poll::Pending => self.poll_late(cx, false).map(|()| Err(late())),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Heard>, FetchError>> {
        match self.poll_heard(cx) {
            Poll::Pending => self.poll_late(cx, true).map(|()| Err(late())),
            heard => {
                if let Some(pace) = &mut self.pace {
                    pace.waiting = None;
                }
                heard
            }
        }
    }
}
