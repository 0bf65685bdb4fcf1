//! Requests of a program's own that pass piece by piece, both ways at once.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_filter::host::{Fetch, FetchError, Heard, Talk};
use pilotlight_filter::{Body, Frame, ResponseHead};

use super::fetch::{self, error};
use crate::codec::Length;
use crate::generation::Local;
use crate::upstream::{Incoming, Lease, Outbound};
use crate::worker::Worker;

pub(super) async fn talk(
    worker: Rc<Worker>,
    local: Rc<Local>,
    request: Fetch,
) -> Result<Box<dyn Talk>, FetchError> {
    let (upstream, head) = fetch::prepare(&worker, &local, &request)?;
    let mut lease = upstream.lease(&worker, &[]).map_err(|e| error(e.to_string()))?;
    // A connection that was kept may be closing just now, and what is sent piece by piece can't be
    // sent again.
    let mut out = lease.connect(true).await.map_err(|e| error(e.to_string()))?;
    out.head(&head, Length::Unknown, None).map_err(|e| error(e.to_string()))?;
    Ok(Box::new(Under { out, body: None, response: ResponseHead::default(), _lease: lease }))
}

/// A request under way.
struct Under {
    out: Outbound,
    response: ResponseHead,
    body: Option<Body>,
    _lease: Lease,
}

impl Talk for Under {
    fn send(&mut self, data: Bytes) {
        self.out.data(data);
    }

    fn finish(&mut self) {
        self.out.finish(None);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Heard>, FetchError>> {
        if let Poll::Ready(Err(failed)) = self.out.poll_flush(cx)
            && self.body.is_none()
        {
            return Poll::Ready(Err(error(failed.to_string())));
        }
        let Some(body) = &mut self.body else {
            loop {
                return match self.out.poll_response(cx, &mut self.response) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(Incoming::Interim)) => continue,
                    Poll::Ready(Ok(Incoming::Final(body))) => {
                        self.body = Some(body);
                        let fields = fetch::list(&self.response.fields);
                        Poll::Ready(Ok(Some(Heard::Head(self.response.status, fields))))
                    }
                    Poll::Ready(Ok(Incoming::Switched(..))) => {
                        Poll::Ready(Err(error("the upstream switched protocols")))
                    }
                    Poll::Ready(Err(failed)) => Poll::Ready(Err(error(failed.to_string()))),
                };
            }
        };
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
