//! An application that tests ask for one thing after another, by the path of their requests.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

mod forward;
mod keyvalue;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse,
    ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::{cli, clocks, random};

struct Application;

wasip2::http::proxy::export!(Application);

impl Guest for Application {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/request" => answer(out, 200, &describe(&request)),
            "/echo" => echo(&request, out),
            "/env" => answer(out, 200, &format!("{:?}", cli::environment::get_environment())),
            "/world" => answer(out, 200, &world()),
            "/noise" => {
                for n in 0..1000 {
                    let line = format!("noise {n} of many\n");
                    let _ = cli::stdout::get_stdout().blocking_write_and_flush(line.as_bytes());
                }
                answer(out, 200, "said");
            }
            "/log" => {
                let _ = cli::stdout::get_stdout().blocking_write_and_flush(b"a line\nand ");
                let _ = cli::stdout::get_stdout().blocking_write_and_flush(b"another\n");
                let _ = cli::stderr::get_stderr().blocking_write_and_flush(b"it ends so");
                answer(out, 200, "logged");
            }
            "/again" => {
                static TIMES: AtomicU32 = AtomicU32::new(1);
                let kept = vec![7_u8; 1 << 20];
                let sum = kept.iter().map(|byte| u32::from(*byte)).sum::<u32>();
                let times = TIMES.fetch_add(1, Ordering::Relaxed);
                answer(out, 200, &format!("{times} {sum}"));
            }
            "/slow" => slow(out),
            "/fetch" => told(out, forward::fetch(query)),
            "/peek" => told(out, forward::peek(query)),
            "/announce" => told(out, forward::announce(query)),
            "/early" => answer(out, 200, &forward::early(query)),
            "/forward" => forward::forward(query, &request, out),
            "/keyvalue" => answer(out, 200, &keyvalue::run(query)),
            "/sleep" => {
                clocks::monotonic_clock::subscribe_duration(500_000_000).block();
                answer(out, 200, "slept");
            }
            "/count" => {
                let mut bytes = 0;
                read(&request, |piece| bytes += piece.len());
                answer(out, 200, &bytes.to_string());
            }
            "/flood" => {
                let body = begin(out, 200, &[]);
                let stream = body.write().unwrap();
                let piece = vec![b'x'; 4096];
                // Until the client leaves, or there is enough.
                for _ in 0..query.parse().unwrap_or(1 << 20) {
                    if stream.blocking_write_and_flush(&piece).is_err() {
                        break;
                    }
                }
                drop(stream);
                OutgoingBody::finish(body, None).unwrap();
            }
            "/half" => {
                let body = begin(out, 200, &[]);
                body.write().unwrap().blocking_write_and_flush(b"half of").unwrap();
            }
            "/refuse" => ResponseOutparam::set(out, Err(ErrorCode::LoopDetected)),
            "/none" => drop(out),
            "/trap" => panic!("on purpose"),
            "/spin" => loop {
                std::hint::spin_loop();
            },
            "/grow" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                }
            }
            "/teapot" => answer(out, 418, ""),
            _ => answer(out, 404, "nothing here"),
        }
    }
}

fn begin(out: ResponseOutparam, status: u16, fields: &[(&str, &str)]) -> OutgoingBody {
    let headers = Fields::new();
    headers.append("x-app", b"yes").unwrap();
    for (name, value) in fields {
        headers.append(name, value.as_bytes()).unwrap();
    }
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    body
}

fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let body = begin(out, status, &[("content-length", &text.len().to_string())]);
    let mut stream = body.write().unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

fn told(out: ResponseOutparam, what: Result<String, ErrorCode>) {
    match what {
        Ok(text) => answer(out, 200, &text),
        Err(code) => answer(out, 502, &format!("{code:?}")),
    }
}

fn describe(request: &IncomingRequest) -> String {
    let mut text = format!(
        "{:?} {:?} {:?} {:?}\n",
        request.method(),
        request.scheme(),
        request.authority().map(|authority| authority.split(':').count()),
        request.path_with_query(),
    );
    let headers = request.headers();
    for (name, value) in headers.entries() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    let own = headers.clone();
    text += &format!("{:?}\n", headers.set("x-new", &[b"1".to_vec()]));
    text += &format!("{:?}\n", own.set("x-new", &[b"1".to_vec()]));
    text += &format!("{:?}\n", own.set("connection", &[b"close".to_vec()]));
    text += &format!("{:?}\n", own.append("x y", b"1"));
    text += &format!("{:?}\n", own.append("x", b"a\r\nb: c"));
    text += &format!("{} {}\n", own.has("X-NEW"), own.get("x-new").len());
    text
}

/// Reads a body piece by piece.
fn read(request: &IncomingRequest, mut take: impl FnMut(&[u8])) -> bool {
    let body = request.consume().unwrap();
    let stream = body.stream().unwrap();
    let whole = pieces(&stream, &mut take);
    drop(stream);
    drop(IncomingBody::finish(body));
    whole
}

fn pieces(stream: &InputStream, take: &mut dyn FnMut(&[u8])) -> bool {
    loop {
        match stream.blocking_read(16 << 10) {
            Ok(piece) => take(&piece),
            Err(StreamError::Closed) => return true,
            Err(StreamError::LastOperationFailed(_)) => return false,
        }
    }
}

/// Sends back what comes as it comes, trailers too.
fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().unwrap();
    assert!(request.consume().is_err());
    let from = incoming.stream().unwrap();
    let body = begin(out, 200, &[]);
    let to: OutputStream = body.write().unwrap();
    while to.blocking_splice(&from, 1 << 20).is_ok() {}
    drop((from, to));
    let trailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    let trailers = trailers.get().unwrap().unwrap().unwrap();
    OutgoingBody::finish(body, trailers.map(|fields| fields.clone())).unwrap();
}

fn world() -> String {
    let wall = clocks::wall_clock::now();
    let began = clocks::monotonic_clock::now();
    clocks::monotonic_clock::subscribe_duration(20_000_000).block();
    let passed = clocks::monotonic_clock::now() - began;
    let (a, b) = (random::random::get_random_u64(), random::random::get_random_u64());
    let bytes = random::random::get_random_bytes(7).len();
    let (recent, waited) = (wall.seconds > 1_600_000_000, passed >= 19_000_000);
    format!("{recent} {waited} {} {bytes}", a != b)
}

fn slow(out: ResponseOutparam) {
    let body = begin(out, 200, &[]);
    let stream = body.write().unwrap();
    for piece in ["one ", "two ", "three"] {
        stream.blocking_write_and_flush(piece.as_bytes()).unwrap();
        clocks::monotonic_clock::subscribe_duration(100_000_000).block();
    }
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}
