//! The drive of an exchange, phase by phase.

use proxy_wasm::traits::HttpContext;
use proxy_wasm::types::Action;

use super::message::{Headers, Outcome, Request, Response, Sent};
use super::world::{
    Fields, Owner, REQUEST_BODY, REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_BODY,
    RESPONSE_HEADERS, RESPONSE_TRAILERS, fields,
};
use super::{Host, ROOT};

/// One direction of an exchange.
struct Way {
    what: &'static str,
    /// Its place in `continued`.
    index: usize,
    headers: usize,
    body: usize,
    trailers: usize,
    on_headers: fn(&mut dyn HttpContext, usize, bool) -> Action,
    on_body: fn(&mut dyn HttpContext, usize, bool) -> Action,
    on_trailers: fn(&mut dyn HttpContext, usize) -> Action,
}

const REQUEST: Way = Way {
    what: "request",
    index: 0,
    headers: REQUEST_HEADERS,
    body: REQUEST_BODY,
    trailers: REQUEST_TRAILERS,
    on_headers: |context, count, last| context.on_http_request_headers(count, last),
    on_body: |context, size, last| context.on_http_request_body(size, last),
    on_trailers: |context, count| context.on_http_request_trailers(count),
};

const RESPONSE: Way = Way {
    what: "response",
    index: 1,
    headers: RESPONSE_HEADERS,
    body: RESPONSE_BODY,
    trailers: RESPONSE_TRAILERS,
    on_headers: |context, count, last| context.on_http_response_headers(count, last),
    on_body: |context, size, last| context.on_http_response_body(size, last),
    on_trailers: |context, count| context.on_http_response_trailers(count),
};

/// A message that has passed the filter.
struct Passed {
    headers: Headers,
    chunks: Vec<Vec<u8>>,
    trailers: Headers,
}

/// The filter has ended the exchange.
struct Ended;

type Stream = Box<dyn HttpContext>;

impl Host {
    /// Drives one exchange through all phases of the filter.
    ///
    /// # Panics
    /// When the filter makes no context for it, calls an upstream that nothing stands in for, or
    /// pauses and waits for nothing.
    pub fn exchange(&mut self, request: Request, response: Response) -> Outcome {
        self.contexts = self.contexts.max(ROOT) + 1;
        let id = self.contexts;
        let stage = self.enter(Owner::Root);
        let stream = self.root.create_http_context(id);
        drop(stage);
        let mut stream = stream.expect("the root context made no HTTP context");
        let mut sent = None;
        let passed = match self.walk(
            &mut stream,
            &REQUEST,
            request.headers,
            request.chunks,
            request.trailers,
        ) {
            Ok(passed) => {
                let Passed { headers, chunks, trailers } = passed;
                sent = Some(Sent { headers, body: chunks.concat(), trailers });
                let Response { headers, chunks, trailers } = response;
                self.walk(&mut stream, &RESPONSE, headers, chunks, trailers)
            }
            Err(Ended) => Err(Ended),
        };
        let outcome = self.outcome(passed, sent);
        self.answer_calls(Some(&mut stream));
        let _stage = self.enter(Owner::Stream);
        stream.on_done();
        stream.on_log();
        outcome
    }

    fn walk(
        &mut self,
        stream: &mut Stream,
        way: &Way,
        headers: Vec<(String, String)>,
        chunks: Vec<Vec<u8>>,
        trailers: Vec<(String, String)>,
    ) -> Result<Passed, Ended> {
        let mut out = Passed {
            headers: Headers::default(),
            chunks: Vec::new(),
            trailers: Headers::default(),
        };
        let count = headers.len();
        {
            let mut world = self.world.borrow_mut();
            world.maps[way.headers] = fields(&headers);
            world.maps[way.trailers] = fields(&trailers);
            world.buffers[way.body].clear();
        }
        let bare = chunks.is_empty() && trailers.is_empty();
        let action = self.phase(stream, |stream| (way.on_headers)(stream, count, bare));
        // What waits for its body is held until the body goes on.
        let mut held = self.settle(stream, way, action, bare)? == Action::Pause;
        if !held {
            out.headers = self.map(way.headers);
        }
        let last = chunks.len().saturating_sub(1);
        for (index, chunk) in chunks.into_iter().enumerate() {
            let ends = index == last && trailers.is_empty();
            let size = {
                let mut world = self.world.borrow_mut();
                world.buffers[way.body].extend(chunk);
                world.buffers[way.body].len()
            };
            let action = self.phase(stream, |stream| (way.on_body)(stream, size, ends));
            if self.settle(stream, way, action, ends)? == Action::Continue {
                self.flush(way, &mut held, &mut out);
            }
        }
        if !trailers.is_empty() {
            let action = self.phase(stream, |stream| (way.on_trailers)(stream, trailers.len()));
            self.settle(stream, way, action, true)?;
            self.flush(way, &mut held, &mut out);
        }
        out.trailers = self.map(way.trailers);
        Ok(out)
    }

    fn phase(
        &self,
        stream: &mut Stream,
        call: impl FnOnce(&mut dyn HttpContext) -> Action,
    ) -> Action {
        self.world.borrow_mut().continued = [false; 2];
        let _stage = self.enter(Owner::Stream);
        call(stream.as_mut())
    }

    /// What became of a phase once its calls are answered.
    fn settle(
        &mut self,
        stream: &mut Stream,
        way: &Way,
        action: Action,
        last: bool,
    ) -> Result<Action, Ended> {
        if action == Action::Pause {
            self.answer_calls(Some(stream));
        }
        let world = self.world.borrow();
        if world.reply.is_some() || world.closed {
            return Err(Ended);
        }
        if action == Action::Continue || world.continued[way.index] {
            return Ok(Action::Continue);
        }
        assert!(!last, "the filter paused the {} and waits for nothing", way.what);
        Ok(Action::Pause)
    }

    fn flush(&self, way: &Way, held: &mut bool, out: &mut Passed) {
        if std::mem::take(held) {
            out.headers = self.map(way.headers);
        }
        let chunk = std::mem::take(&mut self.world.borrow_mut().buffers[way.body]);
        if !chunk.is_empty() {
            out.chunks.push(chunk);
        }
    }

    fn map(&self, map: usize) -> Headers {
        shown(&self.world.borrow().maps[map])
    }

    fn outcome(&self, passed: Result<Passed, Ended>, request: Option<Sent>) -> Outcome {
        let mut world = self.world.borrow_mut();
        let reply = world.reply.take();
        let closed = std::mem::take(&mut world.closed);
        let answered = reply.is_some();
        let (status, passed) = match (passed, reply) {
            (Ok(mut passed), None) => {
                let status = passed.headers.get(":status").and_then(|text| text.parse().ok());
                passed.headers.0.retain(|(name, _)| name != ":status");
                (status.unwrap_or(0), passed)
            }
            (_, reply) => {
                let (status, headers, body) = match reply {
                    Some(reply) if !closed => (reply.status, shown(&reply.headers), reply.body),
                    _ => (0, Headers::default(), Vec::new()),
                };
                let chunks = if body.is_empty() { Vec::new() } else { vec![body] };
                (status as u16, Passed { headers, chunks, trailers: Headers::default() })
            }
        };
        let Passed { headers, chunks, trailers } = passed;
        Outcome { status, headers, body: chunks.concat(), chunks, trailers, request, answered }
    }
}

fn shown(fields: &Fields) -> Headers {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Headers(fields.iter().map(|(name, value)| (text(name), text(value))).collect())
}
