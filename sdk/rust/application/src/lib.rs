//! An application in Rust: greets who it is asked for, and streams back what it is sent. The gateway
//! starts a fresh instance for each exchange.

use std::io::{Error, Result, Write};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

struct Application;

impl Guest for Application {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match request.method() {
            Method::Get => answer(out, 200, |body| {
                let who = path.trim_start_matches('/').split('?').next();
                writeln!(body, "hello {}", who.filter(|who| !who.is_empty()).unwrap_or("world"))
            }),
            Method::Post => answer(out, 200, |body| pieces(request, |piece| body.write_all(piece))),
            _ => answer(out, 405, |_| Ok(())),
        }
    }
}

/// The request's body, piece by piece.
fn pieces(request: IncomingRequest, mut work: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let gone = |()| Error::other("the body is gone");
    let body = request.consume().map_err(gone)?;
    let stream = body.stream().map_err(gone)?;
    loop {
        match stream.blocking_read(16 << 10) {
            Ok(piece) => work(&piece)?,
            Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(Error::other(error)),
        }
    }
}

/// Answers; the body is sent as it is written.
fn answer(out: ResponseOutparam, status: u16, write: impl FnOnce(&mut dyn Write) -> Result<()>) {
    let fields = Fields::new();
    let _ = fields.append("content-type", b"text/plain; charset=utf-8");
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    let Ok(mut stream) = body.write() else { return };
    let written = write(&mut stream).and_then(|()| Write::flush(&mut stream));
    drop(stream);
    // A body that is not finished is cut off where the client can see it.
    if written.is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(Application);
