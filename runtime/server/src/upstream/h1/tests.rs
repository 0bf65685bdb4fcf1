//! Responses: our side of an upstream's connection beside hyper's client.

use std::cell::Cell;
use std::future::poll_fn;

use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;
use crate::codec::h1::differential::{
    List, Met, Rig, Table, Taken, config, fields, forwarded, messages, turns, write,
};
use crate::codec::h1::inbox;

/// Where we refuse and hyper goes on.
const STRICTER: Table = Table(&[
    ("bare line feed", "RFC 9112 2.2: it may be taken for a line's end, and it smuggles"),
    ("several content-length fields", "RFC 9112 6.3"),
    ("malformed content-length", "RFC 9110 8.6"),
    ("both content-length and transfer-encoding", "RFC 9112 6.1"),
    ("several transfer-encoding fields", "RFC 9112 6.1"),
    ("transfer-encoding other than chunked", "RFC 9112 6.1"),
    ("transfer-encoding in an HTTP/1.0 response", "RFC 9112 6.1"),
    ("expectation other than 100-continue", "RFC 9110 10.1.1: no field of responses"),
    ("malformed status line", "RFC 9112 4"),
    ("the body's framing is malformed", "RFC 9112 7.1"),
]);
const MANIFEST: &str =
    "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nendpoints = [\"http://127.0.0.1:1\"]\n";

/// What a response came to.
#[derive(Debug, Default)]
struct Told {
    head: Option<(u16, List)>,
    body: Taken,
    /// The connection may carry another exchange.
    kept: bool,
    /// Why there is no head, in our words.
    refused: String,
}

/// How long a peer is given to read what was written: this many turns of the loop.
const TURNS: usize = 24;

/// Runs an exchange until it is over or waits for bytes that will not come; then the peer closes.
async fn until_quiet(exchange: impl Future<Output = ()>, peer: &mut UnixStream) -> bool {
    tokio::pin!(exchange);
    let early = tokio::select! {
        biased;
        () = &mut exchange => true,
        () = turns(TURNS) => false,
    };
    if !early {
        let _ = peer.shutdown().await;
        exchange.await;
    }
    early
}

async fn ours(rig: &Rig, method: &[u8], bytes: &[u8], cut: usize) -> Told {
    let worker = rig.inlet.worker.clone();
    let upstream = worker.local().upstreams[0].clone();
    let permit = upstream.shared.connection().unwrap_or_else(|| panic!("full"));
    let (near, mut far) = UnixStream::pair().unwrap();
    let conn = Connection::new(worker, upstream, 0, Stream::Unix(near), permit);
    let mut out = Outbound::new(conn.clone());
    let mut request = RequestHead::default();
    request.set_method(method).unwrap();
    request.set_path(b"/").unwrap();
    request.set_authority(b"a").unwrap();
    out.head(&request, Length::None, None).unwrap();
    out.finish(None);
    poll_fn(|cx| out.poll_flush(cx)).await.unwrap();
    let mut told = Told::default();
    write(&mut far, bytes, cut).await;
    let exchange = async {
        let mut head = ResponseHead::default();
        let mut body = loop {
            match poll_fn(|cx| out.poll_response(cx, &mut head)).await {
                Ok(Incoming::Interim) => {}
                Ok(Incoming::Final(body)) => break body,
                Ok(Incoming::Switched(..)) => return,
                Err(error) => {
                    told.refused = why(&head, conn.borrow().inbox.bytes())
                        .unwrap_or_else(|| error.to_string());
                    return;
                }
            }
        };
        crate::forward::strip_hop_by_hop(&mut head.fields);
        told.head = Some((head.status, fields(&head.fields)));
        while told.body.add(poll_fn(|cx| body.poll_frame(cx)).await) {}
    };
    until_quiet(exchange, &mut far).await;
    drop(out);
    // What is put back is not fresh any more.
    told.kept = !conn.borrow().fresh;
    while rig.inlet.worker.local().upstreams[0]
        .clone()
        .lease(&rig.inlet.worker, &[])
        .unwrap_or_else(|_| panic!())
        .reuse()
        .is_some()
    {}
    told
}

/// What the parser says of a head that was refused, whole or not.
fn why(head: &ResponseHead, unread: &[u8]) -> Option<String> {
    let mut again = ResponseHead::default();
    again.fields.adopt(head.fields.arena().to_vec());
    let whole =
        (!again.fields.arena().is_empty()).then(|| head::response(&mut again, BOUNDS).err());
    let bad = whole.flatten().or_else(|| inbox::hopeless(unread, 0));
    bad.map(|bad| bad.detail.to_owned())
}

async fn theirs(method: &str, bytes: &[u8], cut: usize) -> Told {
    let (near, mut far) = UnixStream::pair().unwrap();
    let (mut send, conn) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
    let driving = tokio::task::spawn_local(conn);
    let request = http::Request::builder().method(method).uri("/").header("host", "a");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = send.send_request(request);
    turns(4).await;
    write(&mut far, bytes, cut).await;
    let mut told = Told::default();
    let early = until_quiet(
        async {
            let Ok(response) = response.await else { return };
            let (head, mut body) = response.into_parts();
            told.head = Some((head.status.as_u16(), fields(&forwarded(&head.headers))));
            told.body.read(&mut body).await;
        },
        &mut far,
    )
    .await;
    turns(TURNS).await;
    told.kept = early && send.is_ready();
    drop(send);
    let _ = driving.await;
    told
}

fn compare(ours: &Told, theirs: &Told, met: &Met) -> Result<(), String> {
    match (&ours.head, &theirs.head) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return STRICTER.excuse(&ours.refused, met),
        (Some(_), None) => return Err("hyper does not take it".into()),
        (Some(ours), Some(theirs)) if ours != theirs => return Err("not the same head".into()),
        _ => {}
    }
    ours.body.compare(&theirs.body, STRICTER, met)?;
    match (ours.kept, theirs.kept) {
        (true, false) => Err("hyper does not keep the connection".into()),
        _ => Ok(()),
    }
}

#[test]
fn responses_mean_the_same_to_hyper() {
    let rig = Rig::new(MANIFEST, Vec::new());
    let (met, counts) = (Met::default(), Cell::new((0, 0, 0, 0, 0)));
    let cases = (messages::responses(), prop::sample::select(&["GET", "GET", "HEAD"][..]));
    let result = TestRunner::new(config(10_000)).run(&cases, |((bytes, cut), method)| {
        let (ours, theirs) = rig.run(async {
            (ours(&rig, method.as_bytes(), &bytes, cut).await, theirs(method, &bytes, cut).await)
        });
        let (all, we, they, our_kept, their_kept) = counts.get();
        counts.set((
            all + 1,
            we + u32::from(ours.body.whole),
            they + u32::from(theirs.body.whole),
            our_kept + u32::from(ours.kept),
            their_kept + u32::from(theirs.kept),
        ));
        let same = compare(&ours, &theirs, &met);
        same.map_err(|why| {
            let text = bytes.escape_ascii();
            TestCaseError::fail(format!("{method}: {text}\n{why}:\n{ours:?}\n{theirs:?}"))
        })
    });
    eprintln!(
        "responses, whole to us, to hyper, connections we kept, hyper kept: {:?}",
        counts.get()
    );
    if let Err(error) = result {
        panic!("{error}");
    }
    STRICTER.is_met(&met);
}
