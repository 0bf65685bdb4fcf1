//! `use = "scaler"`: KEDA's external scaler (externalscaler.proto), over whatever listener its route has.
//!
//! ```text
//! KEDA ─ IsActive, GetMetricSpec, GetMetrics ─▶ one answer: a figure of this moment
//!      ─ StreamIsActive ─▶ an answer now, and another whenever it changes
//! ```

mod figure;
mod wire;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::host::{Services, Wait};
use pilotlight_filter::{Call, Fault, Fields, Filter, Frame, Pull, Verdict};

pub(super) use self::figure::Latencies;
use self::figure::Wanted;
use self::wire::{Message, Writer};
use super::Desk;
use crate::control::Control;

/// Bytes of a request.
const REQUEST: usize = 64 * 1024;
/// How often a stream looks whether something has changed.
const LOOK: Duration = Duration::from_millis(200);

/// Statuses of gRPC.
const INVALID: u32 = 3;
const UNIMPLEMENTED: u32 = 12;
const UNAVAILABLE: u32 = 14;

/// Why there is no figure: gRPC's status, and a sentence.
type Refusal = (u32, String);

pub(super) struct Scaler {
    desk: Arc<Desk>,
    services: Rc<dyn Services>,
    /// The request as far as it is here.
    request: Vec<u8>,
    watch: Option<Watched>,
}

/// What a stream looks at.
struct Watched {
    wanted: Wanted,
    told: Option<bool>,
    sleep: Wait<()>,
}

impl Scaler {
    pub(super) fn new(desk: Arc<Desk>, services: Rc<dyn Services>) -> Scaler {
        desk.asking.fetch_add(1, Ordering::Relaxed);
        Scaler { desk, services, request: Vec::new(), watch: None }
    }

    fn control(&self) -> Result<Arc<Control>, Refusal> {
        let control = self.desk.control.get().and_then(std::sync::Weak::upgrade);
        let control = control.filter(|control| !control.is_draining());
        control.ok_or_else(|| (UNAVAILABLE, "the gateway is closing".to_owned()))
    }

    /// Answers a call; `None`: its answer is a stream.
    fn answer(&mut self, path: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let method = path.strip_prefix(b"/externalscaler.ExternalScaler/").unwrap_or_default();
        if !matches!(method, b"IsActive" | b"StreamIsActive" | b"GetMetricSpec" | b"GetMetrics") {
            return Err((UNIMPLEMENTED, "no such method".to_owned()));
        }
        let malformed = || (INVALID, "the request is malformed".to_owned());
        let message = wire::framed(&self.request).ok_or_else(malformed)?;
        let of = match method {
            b"GetMetrics" => Message(message).find(1).ok_or_else(malformed)?,
            _ => message,
        };
        let wanted = Wanted::read(of).ok_or_else(malformed)??;
        let control = self.control()?;
        let mut said = Writer::default();
        match method {
            b"IsActive" => said.bool(1, wanted.is_active(&control, &self.desk)?),
            b"StreamIsActive" => {
                // What can't be looked at is said at once.
                wanted.figure(&control, &self.desk)?;
                let sleep = self.services.sleep(Duration::ZERO);
                self.watch = Some(Watched { wanted, told: None, sleep });
                return Ok(None);
            }
            b"GetMetricSpec" => {
                let target = wanted.target()?;
                let mut spec = Writer::default();
                spec.bytes(1, wanted.name().as_bytes());
                spec.whole(2, target.ceil() as u64);
                spec.double(3, target);
                said.bytes(1, &spec.0);
            }
            _ => {
                let figure = wanted.figure(&control, &self.desk)?;
                let mut value = Writer::default();
                let name = Message(message).find(2).map(<[u8]>::to_vec);
                value.bytes(1, &name.unwrap_or_else(|| wanted.name().into_bytes()));
                value.whole(2, figure.ceil() as u64);
                value.double(3, figure);
                said.bytes(1, &value.0);
            }
        }
        Ok(Some(said.0))
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        self.desk.asking.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Filter for Scaler {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let exchange = call.exchange;
        loop {
            match ready!(exchange.request.body.poll_frame(cx)) {
                Some(Ok(Frame::Data(data))) if self.request.len() + data.len() <= REQUEST => {
                    self.request.extend_from_slice(&data);
                }
                Some(Ok(Frame::Trailers(_))) => {}
                None => break,
                Some(Ok(Frame::Data(_)) | Err(_)) => {
                    self.request.clear();
                    break;
                }
            }
        }
        let answer = self.answer(exchange.request.head.path());
        let head = exchange.reply(200, Bytes::new());
        let _ = head.fields.set(b"content-type", b"application/grpc");
        Poll::Ready(Ok(match answer {
            Ok(Some(message)) => {
                exchange.response.body.set(wire::frame(&message));
                exchange.response.body.set_trailers(status(0, ""));
                Verdict::Reply
            }
            Ok(None) => Verdict::Stream { length: None },
            Err((code, why)) => {
                // A head alone says how it ended.
                for (name, value) in status(code, &why).iter().map(|(_, name, value)| (name, value))
                {
                    let _ = exchange.response.head.fields.set(name, value);
                }
                Verdict::Reply
            }
        }))
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        _: Pull<'_>,
    ) -> Poll<Result<Option<Frame>, Fault>> {
        loop {
            let control = self.control();
            let Some(watch) = &mut self.watch else { return Poll::Ready(Ok(None)) };
            ready!(watch.sleep.as_mut().poll(cx));
            watch.sleep = self.services.sleep(LOOK);
            let active = control.and_then(|control| watch.wanted.is_active(&control, &self.desk));
            match active {
                Ok(active) if watch.told != Some(active) => {
                    watch.told = Some(active);
                    let mut said = Writer::default();
                    said.bool(1, active);
                    return Poll::Ready(Ok(Some(Frame::Data(wire::frame(&said.0)))));
                }
                Ok(_) => {}
                Err((code, why)) => {
                    self.watch = None;
                    return Poll::Ready(Ok(Some(Frame::Trailers(status(code, &why)))));
                }
            }
        }
    }
}

fn status(code: u32, message: &str) -> Fields {
    let mut fields = Fields::default();
    let _ = fields.add(b"grpc-status", code.to_string().as_bytes());
    if !message.is_empty() {
        let _ = fields.add(b"grpc-message", message.as_bytes());
    }
    fields
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
