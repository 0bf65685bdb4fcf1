//! Requests: our side of a connection beside hyper's.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper_util::rt::TokioIo;
use pilotlight_abi::{Phase, Phases};
use pilotlight_core::path::canonicalise;
use pilotlight_filter::host::{Module, Services};
use pilotlight_filter::{
    Body, Call, Engine, Fault, Filter, Library, LoadError, Plan, Realm, RequestHead, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{List, Met, Rig, Table, Taken, config, fields, forwarded, messages, write};
use crate::stream::Stream;
use crate::worker::Inlet;

/// Where we refuse and hyper goes on.
const STRICTER: Table = Table(&[
    ("bare line feed", "RFC 9112 2.2: it may be taken for a line's end, and it smuggles"),
    (
        "malformed request line",
        "RFC 9112 2.2: one empty line before a request is forgiven, not two",
    ),
    (
        "malformed request target",
        "RFC 9112 3.2: only the forms of RFC 3986, and the authority without user information",
    ),
    (
        "request target and host field disagree",
        "RFC 9112 3.2.2: a proxy would have to replace Host; whoever disagrees is up to something",
    ),
    ("missing host field", "RFC 9112 3.2"),
    ("several host fields", "RFC 9112 3.2"),
    ("malformed host field", "RFC 9112 3.2"),
    ("several content-length fields", "RFC 9112 6.3"),
    ("both content-length and transfer-encoding", "RFC 9112 6.1"),
    ("several transfer-encoding fields", "RFC 9112 6.1"),
    ("transfer-encoding other than chunked", "RFC 9112 6.1"),
    ("expectation other than 100-continue", "RFC 9110 10.1.1"),
    ("the body's framing is malformed", "RFC 9112 7.1"),
]);
/// A request as it was understood.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Head {
    method: Vec<u8>,
    authority: Vec<u8>,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
    minor: u8,
    fields: List,
}

/// What a connection came to: its requests, and what we said when we refused the next.
#[derive(Debug, Default)]
struct Told {
    seen: Vec<(Head, Taken)>,
    refused: Option<String>,
}

thread_local! {
    static SEEN: RefCell<Vec<(Head, Taken)>> = const { RefCell::new(Vec::new()) };
}

fn see(head: Head) {
    SEEN.with_borrow_mut(|seen| seen.push((head, Taken::default())));
}

/// The body of the request that was seen last.
fn body<T>(change: impl FnOnce(&mut Taken) -> T) -> T {
    SEEN.with_borrow_mut(|seen| change(&mut seen.last_mut().unwrap().1))
}

/// An engine whose one filter writes down what it sees and answers.
struct Recorder;

impl Engine for Recorder {
    fn name(&self) -> &'static str {
        "lua"
    }

    fn load(&self, _: &Plan) -> Result<Arc<dyn Library>, Vec<LoadError>> {
        Ok(Arc::new(Recorder))
    }
}

impl Library for Recorder {
    fn phases(&self, _: usize) -> Phases {
        [Phase::Request].into_iter().collect()
    }

    fn open(&self, _: Rc<dyn Services>) -> Rc<dyn Realm> {
        Rc::new(Recorder)
    }
}

impl Realm for Recorder {
    fn start(&self, _: usize) -> Box<dyn Filter> {
        Box::new(Recording { begun: false })
    }

    fn module(&self, _: &str) -> Option<Rc<dyn Module>> {
        None
    }

    fn trim(&self) {}

    fn gauges(&self, _: &mut dyn FnMut(&'static str, &str, u64)) {}
}

struct Recording {
    begun: bool,
}

impl Filter for Recording {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let request = &mut call.exchange.request;
        if !std::mem::replace(&mut self.begun, true) {
            see(our_head(&request.head));
        }
        loop {
            let frame = ready!(request.body.poll_frame(cx));
            if !body(|taken| taken.add(frame)) {
                break;
            }
        }
        call.exchange.response.head.status = 200;
        call.exchange.response.body = Body::empty();
        Poll::Ready(Ok(Verdict::Reply))
    }
}

fn our_head(head: &RequestHead) -> Head {
    Head {
        method: head.method_text().to_vec(),
        authority: head.authority().to_vec(),
        path: head.path().to_vec(),
        query: head.query().map(<[u8]>::to_vec),
        minor: u8::from(head.version == pilotlight_filter::Version::Http11),
        fields: fields(&head.fields),
    }
}

/// A path as a gateway sees it; one that has no canonical form is refused before any filter.
fn canonical(path: &str) -> Option<Vec<u8>> {
    if path == "*" { Some(b"*".to_vec()) } else { canonicalise(path.as_bytes()).ok() }
}

fn their_head(head: &http::request::Parts) -> Head {
    let host = head.headers.get("host").map(|h| h.as_bytes().to_vec());
    let mut list = forwarded(&head.headers);
    list.remove(b"host");
    if list.get(b"expect").is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue")) {
        list.remove(b"expect");
    }
    list.retain(|_, name, _| !name.contains(&b'_'));
    Head {
        method: head.method.as_str().as_bytes().to_vec(),
        authority: head.uri.authority().map(|a| a.as_str().into()).or(host).unwrap_or_default(),
        path: canonical(head.uri.path()).unwrap_or_default(),
        query: head.uri.query().map(|q| q.as_bytes().to_vec()),
        minor: u8::from(head.version == http::Version::HTTP_11),
        fields: fields(&list),
    }
}

/// Writes all, says that no more comes, and reads all that is said.
async fn converse(mut stream: UnixStream, bytes: &[u8], cut: usize) -> String {
    write(&mut stream, bytes, cut).await;
    let _ = stream.shutdown().await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

async fn ours(inlet: &Rc<Inlet>, bytes: &[u8], cut: usize) -> Told {
    let (near, far) = UnixStream::pair().unwrap();
    let served =
        tokio::task::spawn_local(crate::codec::h1::serve(inlet.clone(), Stream::Unix(far)));
    let said = converse(near, bytes, cut).await;
    served.await.unwrap();
    let detail = said.split("\"detail\":\"").nth(1).and_then(|rest| rest.split('"').next());
    Told { seen: SEEN.take(), refused: detail.map(str::to_owned) }
}

async fn theirs(bytes: &[u8], cut: usize) -> Told {
    let (near, far) = UnixStream::pair().unwrap();
    let answer =
        hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async {
            let (head, mut incoming) = request.into_parts();
            see(their_head(&head));
            let mut taken = Taken::default();
            taken.read(&mut incoming).await;
            body(|seen| *seen = taken);
            Ok::<_, Infallible>(http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
        });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.half_close(true);
    let serving = builder.serve_connection(TokioIo::new(far), answer);
    let (_, _) = tokio::join!(serving, converse(near, bytes, cut));
    let mut seen = SEEN.take();
    seen.retain(|(head, _)| !head.path.is_empty());
    Told { seen, refused: None }
}

/// What differs without a reason.
fn compare(ours: &Told, theirs: &Told, met: &Met) -> Result<(), String> {
    let mut theirs = theirs.seen.iter();
    for (head, body) in &ours.seen {
        let Some((their_head, their_body)) = theirs.next() else {
            return Err(format!("hyper does not take {head:?}"));
        };
        if head != their_head {
            return Err(format!("not the same head:\n{head:?}\n{their_head:?}"));
        }
        body.compare(their_body, STRICTER, met)
            .map_err(|why| format!("{why}:\n{body:?}\n{their_body:?}"))?;
        if !body.whole {
            return Ok(());
        }
    }
    match theirs.next() {
        None => Ok(()),
        Some((head, _)) => STRICTER
            .excuse(ours.refused.as_deref().unwrap_or("not a word"), met)
            .map_err(|why| format!("{why}: {head:?}")),
    }
}

/// Follows whatever was sent: whether it is read as the next request is compared, too.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const MANIFEST: &str = "[[routes]]\nfilters = [\"recorder\"]\nrespond = { body = \"\" }\n\
                        [filters.recorder]\nlua = \"recorder.lua\"\n";

#[test]
fn requests_mean_the_same_to_hyper() {
    let rig = Rig::new(MANIFEST, vec![Arc::new(Recorder)]);
    let (met, counts) = (Met::default(), Cell::new((0, 0, 0)));
    let result = TestRunner::new(config(10_000)).run(&messages::requests(), |(bytes, cut)| {
        let bytes = [&bytes[..], NEXT].concat();
        let (ours, theirs) =
            rig.run(async { (ours(&rig.inlet, &bytes, cut).await, theirs(&bytes, cut).await) });
        let (connections, we, they) = counts.get();
        counts.set((connections + 1, we + ours.seen.len(), they + theirs.seen.len()));
        let same = compare(&ours, &theirs, &met);
        same.map_err(|why| TestCaseError::fail(format!("{}\n{why}", bytes.escape_ascii())))
    });
    eprintln!("connections, requests that we took, that hyper took: {:?}", counts.get());
    if let Err(error) = result {
        panic!("{error}");
    }
    STRICTER.is_met(&met);
}
