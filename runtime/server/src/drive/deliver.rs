//! The response's way to the client: filters on its head, then the body, chunk by chunk.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use pilotlight_abi::Phase;
use pilotlight_filter::{BodyError, Chunk, Exchange, Frame, Method, Name, Origin, Passed};

use super::errors::{self, Page};
use super::turn::{GONE, Turn};
use super::{Left, failed};
use crate::answer::{self, Problem};
use crate::codec::{Downstream, Gone, HIGH_WATER, Length};
use crate::forward;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivered {
    Whole,
    /// The upstream or a filter broke it off: the client is shown a broken message.
    Broken(&'static str),
    ClientGone,
}

const FILTER_ERROR: &str = "proxy_internal_error";

/// What a body that broke off means, in the words of RFC 9209.
fn why(error: BodyError) -> &'static str {
    match error {
        BodyError::Filter => FILTER_ERROR,
        _ => "http_response_incomplete",
    }
}

/// Where the body stands.
enum Stage {
    Pull,
    Filter(Chunk),
    Trailers,
    Flush,
}

impl Turn<'_> {
    /// Runs the response phase and writes the response, unless an error page is to take its place:
    /// then the route of that.
    pub(super) async fn deliver(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
    ) -> Option<Result<usize, Problem>> {
        exchange.merge_early();
        // What the route's errors made of an answer is settled; now a filter may end the response.
        exchange.response.stock = false;
        let passed = self.walk(Phase::Response, exchange, down).await;
        if exchange.response.stock
            && self.page == Page::No
            && let Ok(Passed::Through) = passed
            && let Some(found) = errors::replace(self, exchange)
        {
            return Some(found);
        }
        match passed {
            Ok(Passed::Through) => self.write(exchange, down).await,
            Ok(stopped) => self.refuse(exchange, down, stopped).await,
            Err(Left) => self.leave(exchange, down),
        }
        None
    }

    /// Writes the answer to a response phase that did not end well.
    pub(super) async fn refuse(
        &mut self,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        stopped: Passed,
    ) {
        if stopped == Passed::Failed {
            self.chain.abandon();
            let problem = failed(exchange);
            answer::problem(exchange, problem);
        }
        self.write(exchange, down).await;
    }

    async fn write(&mut self, exchange: &mut Exchange, down: &mut dyn Downstream) {
        if exchange.parent.is_none() {
            self.sign(exchange);
        }
        let length = self.frame(exchange);
        down.head(&exchange.response.head, length);
        if !self.chain.is_empty() {
            exchange.stats.head = down.queued() as u64;
        }

        let idle = match (exchange.response.origin, &self.lease) {
            (Some(Origin::Upstream), Some(lease)) => Some(lease.idle_timeout()),
            _ => None,
        };
        let mut stage = if length == Length::None { Stage::Trailers } else { Stage::Pull };
        let mut waiting = false;
        let delivered = poll_fn(|cx| {
            let before = exchange.stats.sent;
            let polled = self.poll_deliver(cx, exchange, down, &mut stage);
            if polled.is_ready() {
                return polled;
            }
            // The timer counts from the last byte that came, not from the last look.
            if !waiting || exchange.stats.sent != before {
                waiting = true;
                self.limit(idle);
            }
            if self.timer.poll(cx).is_ready() {
                return Poll::Ready(Delivered::Broken("http_response_timeout"));
            }
            Poll::Pending
        })
        .await;
        self.settle(exchange, down, delivered);
    }

    /// What the gateway adds to a response that leaves it.
    fn sign(&self, exchange: &mut Exchange) {
        let settings = &self.local.generation.manifest.gateway.forwarded;
        forward::response(exchange, settings, self.inlet.listener.alt_svc.as_deref());
        if exchange.response.head.fields.known(Name::Date).is_none() && !exchange.response.dateless
        {
            // RFC 9110 section 6.6.1: of answers of our own, and of upstreams that have no clock.
            let date = self.inlet.worker.date();
            exchange.response.head.fields.push(Name::Date, date.as_ref());
        }
    }

    /// How the body will be framed; fields that say otherwise go.
    fn frame(&mut self, exchange: &mut Exchange) -> Length {
        let response = &mut exchange.response;
        let bodiless = exchange.request.head.method() == Method::Head
            || matches!(response.head.status, 204 | 304);
        if bodiless {
            if response.head.status == 204 {
                // RFC 9110 section 8.6.
                response.head.fields.remove_known(Name::ContentLength);
            }
            if response.origin != Some(Origin::Upstream)
                && !matches!(response.head.status, 204 | 304)
            {
                // HEAD: the length that GET would have.
                if let Some(length) = response.body.length() {
                    let text = length.to_string();
                    response.head.fields.replace(Name::ContentLength, text.as_bytes());
                }
            }
            return Length::None;
        }
        if self.chain.wants(Phase::ResponseBody) || response.body.trailers().is_some() {
            // Filters change its length, or have trailers follow it.
            response.body.forget_length();
        }
        match response.body.length() {
            Some(length) => Length::Exact(length),
            None => Length::Unknown,
        }
    }

    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        stage: &mut Stage,
    ) -> Poll<Delivered> {
        let stopped = self.push(cx, exchange).or_else(|| self.aside(cx, exchange));
        if let Some(Passed::Failed | Passed::Closed) = stopped {
            return Poll::Ready(Delivered::Broken(FILTER_ERROR));
        }
        loop {
            match self.poll_stage(cx, exchange, down, stage) {
                Poll::Ready(None) => continue,
                Poll::Ready(Some(delivered)) => return Poll::Ready(delivered),
                Poll::Pending => {}
            }
            let waits = down.queued() > 0;
            if self.chain.feed(cx, exchange, !waits, &self.watch) || self.grant(cx, exchange, down)
            {
                continue;
            }
            if self.taken {
                return Poll::Pending;
            }
            let flushed = down.poll_flush(cx);
            if flushed == Poll::Ready(Err(Gone)) || down.poll_gone(cx).is_ready() {
                return Poll::Ready(Delivered::ClientGone);
            }
            // Who makes the answer may have waited for just this.
            if !(waits && flushed.is_ready() && self.chain.is_streaming()) {
                return Poll::Pending;
            }
        }
    }

    /// Goes on to the next stage, or says how it ended.
    fn poll_stage(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        down: &mut dyn Downstream,
        stage: &mut Stage,
    ) -> Poll<Option<Delivered>> {
        let next = match stage {
            Stage::Pull => {
                if down.queued() >= HIGH_WATER && ready!(down.poll_flush(cx)).is_err() {
                    return Poll::Ready(Some(Delivered::ClientGone));
                }
                let filtered = self.chain.wants(Phase::ResponseBody);
                match ready!(exchange.response.body.poll_frame(cx)) {
                    Some(Ok(Frame::Data(data))) if filtered => {
                        Stage::Filter(Chunk { data, last: false })
                    }
                    Some(Ok(Frame::Data(data))) => {
                        exchange.stats.sent += data.len() as u64;
                        down.data(data);
                        return Poll::Ready(None);
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Delivered::Broken(why(error)))),
                    end => {
                        if let Some(Ok(Frame::Trailers(trailers))) = end {
                            exchange.response.body.set_trailers(trailers);
                        }
                        match filtered {
                            true => Stage::Filter(Chunk { last: true, ..Chunk::default() }),
                            false => Stage::Trailers,
                        }
                    }
                }
            }
            Stage::Filter(chunk) => {
                let phase = Phase::ResponseBody;
                match ready!(self.chain.poll(cx, phase, exchange, Some(chunk), &self.watch)) {
                    Passed::Through => {
                        let chunk = std::mem::take(chunk);
                        exchange.stats.sent += chunk.data.len() as u64;
                        down.data(chunk.data);
                        if chunk.last { Stage::Trailers } else { Stage::Pull }
                    }
                    _ => return Poll::Ready(Some(Delivered::Broken(FILTER_ERROR))),
                }
            }
            Stage::Trailers if self.taken => return Poll::Ready(Some(Delivered::Whole)),
            Stage::Trailers => {
                if exchange.response.body.trailers().is_some()
                    && self.chain.wants(Phase::ResponseTrailers)
                {
                    let phase = Phase::ResponseTrailers;
                    match ready!(self.chain.poll(cx, phase, exchange, None, &self.watch)) {
                        Passed::Through => {}
                        _ => return Poll::Ready(Some(Delivered::Broken(FILTER_ERROR))),
                    }
                }
                down.finish(exchange.response.body.take_trailers().as_ref());
                Stage::Flush
            }
            Stage::Flush => {
                return Poll::Ready(Some(match ready!(down.poll_flush(cx)) {
                    Ok(()) => Delivered::Whole,
                    Err(Gone) => Delivered::ClientGone,
                }));
            }
        };
        *stage = next;
        Poll::Ready(None)
    }

    fn settle(&mut self, exchange: &mut Exchange, down: &mut dyn Downstream, delivered: Delivered) {
        let error = match delivered {
            Delivered::Whole => None,
            Delivered::Broken(error) => Some(error),
            Delivered::ClientGone => Some(GONE),
        };
        if error.is_some() {
            down.abort();
            self.error = error;
        }
        if let Delivered::Broken(_) = delivered {
            self.chain.abandon();
        }
        // A request that is not out by now never will be.
        if let Some(mut pump) = self.pump.take()
            && (error.is_some() || !pump.is_done())
        {
            pump.out.abort();
        }
        if error.is_some() {
            exchange.response.body = pilotlight_filter::Body::empty();
        }
    }
}
