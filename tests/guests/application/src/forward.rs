//! What the application does with requests of its own.

use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, ResponseOutparam, Scheme,
};
use wasip2::io::poll;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use crate::{begin, pieces};

/// `authority,path`, and what is behind it.
fn target(query: &str) -> (&str, &str, &str) {
    let mut parts = query.splitn(3, ',');
    let mut part = |or| parts.next().unwrap_or(or);
    (part(""), part("/"), part(""))
}

fn request(query: &str, post: bool, fields: &[(&str, &str)]) -> OutgoingRequest {
    let (authority, path, _) = target(query);
    let headers = Fields::new();
    headers.append("x-from", b"app").unwrap();
    for (name, value) in fields {
        headers.append(name, value.as_bytes()).unwrap();
    }
    let request = OutgoingRequest::new(headers);
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(path)).unwrap();
    if post {
        request.set_method(&Method::Post).unwrap();
    }
    request
}

/// `authority,path,body`: what comes back, as text.
pub fn fetch(query: &str) -> Result<String, ErrorCode> {
    let text = target(query).2;
    let request = request(query, !text.is_empty(), &[]);
    let body = request.body().unwrap();
    let future = outgoing_handler::handle(request, None)?;
    if !text.is_empty() {
        body.write().unwrap().blocking_write_and_flush(text.as_bytes()).unwrap();
    }
    OutgoingBody::finish(body, None).unwrap();
    future.subscribe().block();
    let response = future.get().unwrap().unwrap()?;
    let mut all = format!("{} ", response.status()).into_bytes();
    let body = response.consume().unwrap();
    let stream = body.stream().unwrap();
    pieces(&stream, &mut |piece| all.extend_from_slice(piece));
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// `authority,path,milliseconds`: waits for a head that long, and never reads the body.
pub fn peek(query: &str) -> Result<String, ErrorCode> {
    let options = RequestOptions::new();
    let limit = target(query).2.parse().unwrap_or(5000) * 1_000_000;
    options.set_first_byte_timeout(Some(limit)).unwrap();
    let future = outgoing_handler::handle(request(query, false, &[]), Some(options))?;
    future.subscribe().block();
    let response = future.get().unwrap().unwrap()?;
    assert!(future.get().unwrap().is_err());
    monotonic_clock::subscribe_duration(500_000_000).block();
    Ok(response.status().to_string())
}

/// `authority,path,n`: announces 4 bytes, and writes so many.
pub fn announce(query: &str) -> Result<String, ErrorCode> {
    let request = request(query, true, &[("content-length", "4")]);
    let body = request.body().unwrap();
    let future = outgoing_handler::handle(request, None)?;
    let stream = body.write().unwrap();
    let text = vec![b'x'; target(query).2.parse().unwrap()];
    let written = stream.blocking_write_and_flush(&text);
    drop(stream);
    if written.is_ok() {
        OutgoingBody::finish(body, None)?;
    }
    future.subscribe().block();
    Ok(future.get().unwrap().unwrap()?.status().to_string())
}

/// What was written before its request is sent off: it can't be more than waits.
pub fn early(query: &str) -> String {
    let request = request(query, true, &[]);
    let body = request.body().unwrap();
    let stream = body.write().unwrap();
    let mut written = 0;
    while stream.blocking_write_and_flush(&[b'x'; 4096]).is_ok() {
        written += 4096;
    }
    written.to_string()
}

/// `authority,path`: the client's request goes there and the answer comes back, both at once, trailers
/// too.
pub fn forward(query: &str, incoming: &IncomingRequest, out: ResponseOutparam) {
    let request = request(query, true, &[]);
    let body = request.body().unwrap();
    let future = match outgoing_handler::handle(request, None) {
        Ok(future) => future,
        Err(code) => return ResponseOutparam::set(out, Err(code)),
    };
    let mut up = Up { body: Some(body), ..Up::default() };
    let incoming = incoming.consume().unwrap();
    up.streams = Some((incoming.stream().unwrap(), up.body.as_ref().unwrap().write().unwrap()));
    up.incoming = Some(incoming);
    let response = loop {
        up.go_on();
        match future.get() {
            Some(response) => break response.unwrap(),
            None => {
                let answer = future.subscribe();
                up.wait(&[&answer]);
            }
        }
    };
    let response: IncomingResponse = match response {
        Ok(response) => response,
        Err(code) => return ResponseOutparam::set(out, Err(code)),
    };
    let answer = begin(out, response.status(), &[]);
    let body = response.consume().unwrap();
    let (from, to) = (body.stream().unwrap(), answer.write().unwrap());
    loop {
        up.go_on();
        match to.splice(&from, 1 << 20) {
            Ok(0) => {
                // What stands in the way: nothing to read, or no room.
                let waits = match to.check_write() {
                    Ok(0) => to.subscribe(),
                    _ => from.subscribe(),
                };
                up.wait(&[&waits]);
            }
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            // Whoever reads the answer sees that it is not whole.
            Err(StreamError::LastOperationFailed(_)) => return,
        }
    }
    drop((from, to));
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let trailers = trailers.get().unwrap().unwrap().unwrap();
    OutgoingBody::finish(answer, trailers.map(|fields| fields.clone())).unwrap();
}

/// The client's request on its way.
#[derive(Default)]
struct Up {
    streams: Option<(InputStream, OutputStream)>,
    body: Option<OutgoingBody>,
    incoming: Option<IncomingBody>,
}

impl Up {
    fn go_on(&mut self) {
        while let Some((from, to)) = &self.streams {
            match to.splice(from, 1 << 20) {
                Ok(0) => return,
                Ok(_) => {}
                // The upstream takes no more.
                Err(_) if to.check_write().is_err() => {
                    self.streams = None;
                    self.body = None;
                }
                Err(StreamError::Closed) => {
                    self.streams = None;
                    let trailers = self.incoming.take().map(IncomingBody::finish).unwrap();
                    trailers.subscribe().block();
                    let trailers = trailers.get().unwrap().unwrap().ok().flatten();
                    let trailers = trailers.map(|fields| fields.clone());
                    let _ = OutgoingBody::finish(self.body.take().unwrap(), trailers);
                }
                Err(StreamError::LastOperationFailed(_)) => {
                    self.streams = None;
                    self.body = None;
                }
            }
        }
    }

    /// Until one of these is ready, or it can go on.
    fn wait(&self, others: &[&poll::Pollable]) {
        let own = self.streams.as_ref().map(|(from, to)| match to.check_write() {
            Ok(0) => to.subscribe(),
            _ => from.subscribe(),
        });
        let all: Vec<&poll::Pollable> = others.iter().copied().chain(&own).collect();
        poll::poll(&all);
    }
}
