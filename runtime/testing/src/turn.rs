//! An exchange's way through a filter: the same steps as in the gateway, with a test at both ends.
//!
//! ```text
//! request ─▶ upstream ─▶ request_body ─▶ (the test answers) ─▶ response ─▶ response_body ─▶ log
//! ```

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_abi::{Phase, Value};
use pilotlight_filter::{
    Chain, Chunk, End, Exchange, Fault, Fields, Filtered, Frame, Method, Name, Observer, Origin,
    Passed, Stopped,
};

use crate::clock::Clock;
use crate::request::Response;
use crate::values::{bytes, list, map};

/// Where the drive of an exchange and its test meet.
#[derive(Default)]
pub(crate) struct Door {
    /// The request, while an upstream's answer to it is wanted.
    pub(crate) wanted: RefCell<Option<Value>>,
    /// That answer; nothing when the upstream can't be reached.
    pub(crate) answer: RefCell<Option<Option<Response>>>,
    /// What is under way.
    pub(crate) phase: Cell<Option<Phase>>,
    faults: RefCell<Vec<Fault>>,
}

impl Door {
    async fn ask(&self, request: Value) -> Option<Response> {
        self.wanted.replace(Some(request));
        poll_fn(|_| match self.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        })
        .await
    }
}

impl Observer for Door {
    fn enter(&self, _: usize, phase: Phase) {
        self.phase.set(Some(phase));
    }

    fn leave(&self, _: usize, _: Phase, _: &Exchange, fault: Option<&Fault>) {
        self.faults.borrow_mut().extend(fault.cloned());
    }
}

/// An exchange with its chain.
pub(crate) struct Turn {
    pub(crate) door: Rc<Door>,
    pub(crate) clock: Clock,
    pub(crate) chain: Chain,
    pub(crate) exchange: Exchange,
    /// The filter is a route's target: nothing stands behind it.
    pub(crate) target: bool,
}

/// How the request's way ended.
enum Way {
    Response,
    /// The filter broke the exchange off, or sent it to another route.
    Closed,
    Rerouted,
}

/// A body that came out of the chain.
#[derive(Default)]
struct Passing {
    chunks: Vec<Bytes>,
    trailers: Option<Fields>,
}

impl Passing {
    fn take(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.chunks.push(data);
        }
    }

    fn whole(&self) -> Value {
        Value::Bytes(self.chunks.concat())
    }
}

impl Turn {
    /// Drives it to its end: what the filter did, as a table.
    pub(crate) async fn drive(mut self) -> Value {
        self.exchange.stats.started = self.clock.wall();
        let began = self.clock.elapsed();
        let mut upward = None;
        let way = self.respond(&mut upward).await;
        let mut response = Passing::default();
        let mut broken = false;
        if matches!(way, Way::Response) {
            broken = !self.deliver(&mut response).await;
            if self.chain.is_streaming() {
                self.rest().await;
            }
        }
        self.exchange.stats.duration = (self.clock.elapsed() - began).as_secs_f64();
        self.exchange.stats.received = self.chain.received(&self.exchange);
        self.chain.abandon();
        self.walk(Phase::Log, None).await;
        self.result(&way, upward, &response, broken)
    }

    /// Walks the chain through a phase.
    async fn walk(&mut self, phase: Phase, mut chunk: Option<&mut Chunk>) -> Passed {
        if !self.chain.wants(phase) && phase != Phase::Request {
            return Passed::Through;
        }
        let Turn { chain, exchange, door, .. } = self;
        poll_fn(|cx| {
            loop {
                let chunk = chunk.as_deref_mut();
                let polled = chain.poll(cx, phase, exchange, chunk, &**door);
                // It may wait for the body of an answer that is under way.
                if polled.is_ready() {
                    return polled;
                }
                if !chain.feed(cx, exchange, true, &**door) {
                    let aside = exchange.aside.then(|| chain.aside(cx, exchange, &**door));
                    return aside.flatten().map_or(Poll::Pending, Poll::Ready);
                }
            }
        })
        .await
    }

    /// Brings a response into the exchange.
    async fn respond(&mut self, upward: &mut Option<Value>) -> Way {
        match self.walk(Phase::Request, None).await {
            Passed::Through if self.target => self.fail(500, "the script did not answer"),
            Passed::Through => return self.proxy(upward).await,
            Passed::Replied => {}
            Passed::Rerouted => return Way::Rerouted,
            Passed::Closed => return Way::Closed,
            // Who had no room for it asks the client to come again.
            Passed::Failed => self.fail(if self.exchange.busy { 503 } else { 500 }, FAILED),
        }
        Way::Response
    }

    async fn proxy(&mut self, upward: &mut Option<Value>) -> Way {
        match self.walk(Phase::Upstream, None).await {
            Passed::Through => {}
            Passed::Replied => return Way::Response,
            Passed::Failed | Passed::Rerouted | Passed::Closed => {
                self.fail(500, FAILED);
                return Way::Response;
            }
        }
        let mut body = Passing::default();
        match self.pump(&mut body).await {
            Passed::Through => {}
            Passed::Replied => return Way::Response,
            Passed::Failed | Passed::Rerouted | Passed::Closed => {
                self.fail(500, FAILED);
                return Way::Response;
            }
        }
        let request = self.request(&body);
        *upward = Some(request.clone());
        match self.door.clone().ask(request).await {
            None => self.fail(502, "the upstream can't be reached"),
            Some(answer) => {
                let response = &mut self.exchange.response;
                response.head.status = answer.status;
                response.head.version = self.exchange.request.head.version;
                response.head.fields = answer.fields;
                response.body = answer.body;
                response.origin = Some(Origin::Upstream);
                self.exchange.stats.upstream_status = answer.status;
            }
        }
        Way::Response
    }

    /// The request's body on its way to the upstream.
    async fn pump(&mut self, out: &mut Passing) -> Passed {
        let Turn { chain, exchange, door, .. } = self;
        let mut body = Filtered::default();
        loop {
            let frame = poll_fn(|cx| {
                let polled = body.poll_data(cx, exchange, chain, &**door);
                if polled.is_ready() || !exchange.aside {
                    return polled;
                }
                let aside = chain.aside(cx, exchange, &**door);
                aside.map_or(Poll::Pending, |stopped| Poll::Ready(Err(Stopped::By(stopped))))
            });
            match frame.await {
                Ok(Some(data)) => out.take(data),
                Ok(None) => break,
                Err(Stopped::By(stopped)) => return stopped,
                Err(Stopped::Body(_)) => return Passed::Failed,
            }
        }
        out.trailers = exchange.request.body.take_trailers();
        Passed::Through
    }

    /// The response's way to the client; false when it is broken off.
    async fn deliver(&mut self, out: &mut Passing) -> bool {
        self.exchange.merge_early();
        match self.walk(Phase::Response, None).await {
            Passed::Closed => return false,
            Passed::Failed => {
                self.chain.abandon();
                self.fail(500, FAILED);
            }
            Passed::Through | Passed::Replied | Passed::Rerouted => {}
        }
        let bodiless = self.exchange.request.head.method() == Method::Head
            || matches!(self.exchange.response.head.status, 204 | 304);
        let mut more = !bodiless;
        while more {
            let Turn { chain, exchange, door, .. } = self;
            let mut chunk = match poll_fn(|cx| next(cx, chain, exchange, door)).await {
                Some(Ok(Frame::Data(data))) => Chunk { data, last: false },
                Some(Ok(Frame::Trailers(trailers))) => {
                    exchange.response.body.set_trailers(trailers);
                    Chunk { last: true, ..Chunk::default() }
                }
                Some(Err(_)) => return false,
                None => Chunk { last: true, ..Chunk::default() },
            };
            if self.walk(Phase::ResponseBody, Some(&mut chunk)).await != Passed::Through {
                return false;
            }
            self.exchange.stats.sent += chunk.data.len() as u64;
            out.take(chunk.data);
            more = !chunk.last;
        }
        if self.exchange.response.body.trailers().is_some()
            && self.walk(Phase::ResponseTrailers, None).await != Passed::Through
        {
            return false;
        }
        out.trailers = self.exchange.response.body.take_trailers();
        true
    }

    /// Lets the filter end what it has under way.
    async fn rest(&mut self) {
        let Turn { chain, exchange, door, .. } = self;
        poll_fn(|cx| chain.poll_rest(cx, exchange, End::Delivered, &**door)).await;
    }

    /// An answer of the gateway's own.
    fn fail(&mut self, status: u16, detail: &str) {
        let page = self.exchange.page.take();
        let (kind, body) = match page {
            Some(page) => ("text/html", Bytes::from(page.into_boxed_bytes())),
            None => {
                let body = format!("{{\"status\":{status},\"detail\":\"{detail}\"}}\n");
                ("application/problem+json", Bytes::from(body))
            }
        };
        let head = self.exchange.reply(status, body);
        head.fields.push(Name::ContentType, kind.as_bytes());
        self.exchange.response.origin = Some(Origin::Gateway);
    }

    /// The request as it goes upstream, but for what the gateway adds.
    fn request(&self, body: &Passing) -> Value {
        let head = &self.exchange.request.head;
        let pick = self.exchange.pick.as_ref().map(|pick| {
            map([("host", pick.host.as_ref().into()), ("port", Value::Int(pick.port.into()))])
        });
        map([
            ("method", bytes(head.method_text())),
            ("scheme", head.scheme.text().into()),
            ("host", bytes(head.authority())),
            ("path", bytes(head.path())),
            ("query", head.query().map_or(Value::Nil, bytes)),
            ("headers", list(&unframed(&head.fields))),
            ("body", body.whole()),
            ("trailers", body.trailers.as_ref().map_or(Value::Nil, list)),
            ("upstream", self.exchange.upstream.as_deref().map_or(Value::Nil, Value::from)),
            ("server", pick.unwrap_or(Value::Nil)),
        ])
    }

    fn result(&self, way: &Way, upward: Option<Value>, body: &Passing, broken: bool) -> Value {
        let exchange = &self.exchange;
        let head = &exchange.response.head;
        let is_answer = matches!(way, Way::Response);
        let shown = |value: Value| if is_answer { value } else { Value::Nil };
        let chunks = body.chunks.iter().map(|chunk| bytes(chunk)).collect();
        let named = |pairs: &[(Box<str>, Value)]| {
            Value::Map(
                pairs.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
            )
        };
        let faults = self.door.faults.borrow();
        let error = faults.first().map(|fault| Value::from(&*fault.message));
        let elsewhere = match way {
            Way::Rerouted => match exchange.reroute.as_deref() {
                Some(route) => route.into(),
                None => bytes(exchange.request.head.path()),
            },
            _ => Value::Nil,
        };
        let origin = exchange.response.origin.map_or(Value::Nil, |origin| origin.name().into());
        map([
            ("status", shown(Value::Int(head.status.into()))),
            ("headers", shown(list(&unframed(&head.fields)))),
            ("body", shown(body.whole())),
            ("chunks", Value::List(chunks)),
            ("trailers", body.trailers.as_ref().map_or(Value::Nil, list)),
            ("answered_by", shown(origin)),
            ("request", upward.unwrap_or(Value::Nil)),
            ("rerouted", elsewhere),
            ("closed", Value::Bool(broken || matches!(way, Way::Closed))),
            ("properties", named(&exchange.properties)),
            ("log", named(&exchange.log)),
            ("error", error.unwrap_or(Value::Nil)),
        ])
    }
}

const FAILED: &str = "a filter failed";

/// The next frame of the response.
fn next(
    cx: &mut Context<'_>,
    chain: &mut Chain,
    exchange: &mut Exchange,
    door: &Door,
) -> Poll<Option<Result<Frame, pilotlight_filter::BodyError>>> {
    loop {
        let polled = exchange.response.body.poll_frame(cx);
        if polled.is_ready() || !chain.feed(cx, exchange, true, door) {
            return polled;
        }
    }
}

/// How a message is framed is the codecs' business.
fn unframed(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    fields.retain(|name, _, _| !name.is_framing());
    fields
}
