//! A whole application: counts what it is sent, as it streams in, and streams it back line by line
//! with its numbers. The gateway starts a fresh instance for each exchange.

use std::io::Write;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

/// Bytes that are read at a time.
const PIECE: u64 = 16 << 10;

struct Application;

impl Guest for Application {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        match (request.method(), path) {
            (Method::Get, "/") => answer(out, 200, |body| {
                body.write_all(b"POST /count: lines, words and bytes\nPOST /number: lines with their numbers\n")
            }),
            (Method::Post, "/count") => {
                let mut count = Count::default();
                let read = pieces(request, |piece| {
                    count.add(piece);
                    Ok(())
                });
                answer(out, if read.is_ok() { 200 } else { 400 }, |body| {
                    let Count { lines, words, bytes, .. } = count;
                    writeln!(body, "{lines} lines, {words} words, {bytes} bytes")
                });
            }
            (Method::Post, "/number") => answer(out, 200, |body| {
                let (mut line, mut begins) = (0, true);
                pieces(request, |piece| {
                    for part in piece.split_inclusive(|byte| *byte == b'\n') {
                        if begins {
                            line += 1;
                            write!(body, "{line:6}  ")?;
                        }
                        body.write_all(part)?;
                        begins = part.ends_with(b"\n");
                    }
                    Ok(())
                })
            }),
            (_, "/" | "/count" | "/number") => answer(out, 405, |_| Ok(())),
            _ => answer(out, 404, |body| body.write_all(b"nothing here\n")),
        }
    }
}

#[derive(Default)]
struct Count {
    lines: u64,
    words: u64,
    bytes: u64,
    in_word: bool,
}

impl Count {
    fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        for byte in piece {
            self.lines += u64::from(*byte == b'\n');
            let is_word = !byte.is_ascii_whitespace();
            self.words += u64::from(is_word && !self.in_word);
            self.in_word = is_word;
        }
    }
}

/// The request's body, piece by piece: never whole.
fn pieces(
    request: IncomingRequest,
    mut work: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let gone = |()| std::io::Error::other("the body is gone");
    let body = request.consume().map_err(gone)?;
    let stream = body.stream().map_err(gone)?;
    loop {
        match stream.blocking_read(PIECE) {
            Ok(piece) => work(&piece)?,
            Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(std::io::Error::other(error)),
        }
    }
}

/// Answers; the body is written as it is made.
fn answer(
    out: ResponseOutparam,
    status: u16,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) {
    let fields = Fields::new();
    let _ = fields.append("content-type", b"text/plain; charset=utf-8");
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    let Ok(stream) = body.write() else { return };
    let mut stream = std::io::BufWriter::with_capacity(PIECE as usize, stream);
    let written = write(&mut stream).and_then(|()| stream.flush());
    drop(stream);
    // A body that is not finished is cut off where the client can see it.
    if written.is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(Application);
