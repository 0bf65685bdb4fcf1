//! Requests of an application's own: both ways stream, and hold each other up.

use std::time::Duration;

use bytes::Bytes;

use super::{echoes, gateway};
use crate::support::gateway::Gateway;
use crate::support::message::{ALL, Protocol, ask};
use crate::support::upstream::Step;
use crate::support::{Request, Script, Upstream, h1, paced, run};

const MIB: u64 = 1 << 20;
/// More than all buffers on the way hold, by far.
const LARGE: u64 = 50 * MIB;
/// What the gateway may grow by meanwhile.
const FLAT: u64 = 12 * MIB;

/// A gateway with the application, which may ask `upstream` by the name "up".
async fn with(upstream: &Upstream, more: &str) -> Gateway {
    let route = format!("upstreams = {{ up = \"api\" }}\nlimits = {{ cpu = \"60s\" }}\n{more}");
    // Past the pauses after which a test believes that nothing moves.
    let late = paced(Duration::from_secs(1)).as_secs();
    let rest = format!(
        "[upstreams.api]\nendpoints = [\"http://{}\"]\ntimeouts = {{ idle = \"{late}s\", first_byte = \"{late}s\" }}\n",
        upstream.address
    );
    gateway(&route, &rest).await
}

fn head(bytes: u64) -> Script {
    Script::raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n"))
}

#[test]
fn fifty_mebibytes_pass_through_an_application_both_ways() {
    run(async {
        let upstream = Upstream::always(head(LARGE).then(Step::Fill(LARGE))).await;
        let gateway = with(&upstream, "").await;
        ask(Protocol::H1, &gateway, &Request::get("/env")).await.assert(200);
        let before = gateway.resident();
        let mut request = Request::new("POST", "/forward?up,/");
        let piece = Bytes::from(vec![b'x'; MIB as usize]);
        for _ in 0..LARGE / MIB {
            request = request.body(piece.clone());
        }
        let answer = ask(Protocol::H1, &gateway, &request).await;
        answer.assert(200);
        assert_eq!(answer.body.len() as u64, LARGE);
        let seen = &upstream.requests()[0];
        assert!(seen.whole && seen.length == LARGE, "{} bytes", seen.length);
        assert!(gateway.resident() < before + FLAT, "{before} to {}", gateway.resident());
    });
}

#[test]
fn a_request_and_its_answer_stream_at_once() {
    run(async {
        // What comes goes back as it came, its chunks too.
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let upstream = Upstream::always(Script::raw(head).early().then(Step::Echo)).await;
        let gateway = with(&upstream, "").await;
        for protocol in ALL {
            echoes(&gateway, protocol, "/forward?up,/", 4 * MIB as u32).await;
        }
    });
}

#[test]
fn an_upstream_that_does_not_read_holds_the_client_up_until_it_is_too_late() {
    run(async {
        let deaf = Script::default().early().then(Step::Pause(Duration::from_secs(60)));
        let upstream = Upstream::always(deaf).await;
        let gateway = with(&upstream, "").await;
        ask(Protocol::H1, &gateway, &Request::get("/env")).await.assert(200);
        let before = gateway.resident();
        let mut client = h1::Client::connect(gateway.clear).await;
        let head =
            format!("POST /forward?up,/ HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n");
        client.write(&head).await;
        let piece = "x".repeat(MIB as usize);
        let mut written = 0;
        // The sockets in between hold some, the gateway next to nothing.
        let stuck = paced(Duration::from_millis(300));
        while tokio::time::timeout(stuck, client.write(&piece)).await.is_ok() {
            written += MIB;
            assert!(written < LARGE / 2, "nobody was held up");
        }
        assert!(gateway.resident() < before + FLAT);
        gateway.logged(&["it gave up with"]).await.unwrap();
    });
}

#[test]
fn an_upstream_that_says_nothing_is_given_up() {
    run(async {
        let upstream = Upstream::always(Script::default().then(Step::Stall)).await;
        let gateway = with(&upstream, "").await;
        for path in ["/fetch?up,/", "/fetch?up,/,text", "/peek?up,/,100"] {
            let answer = ask(Protocol::H1, &gateway, &Request::get(path)).await;
            let text = answer.text();
            assert!(answer.is(502) && text.contains("HttpResponseTimeout"), "{path}: {text}");
        }
        upstream.reset(vec![Script::default().then(Step::Close)]);
        let answer = ask(Protocol::H1, &gateway, &Request::get("/fetch?up,/")).await;
        assert!(answer.text().contains("ConnectionTerminated"), "{answer}");
        // In the midst of its answer.
        upstream.reset(vec![head(10).then(Step::Send("half".into())).then(Step::Stall)]);
        let answer = ask(Protocol::H1, &gateway, &Request::new("POST", "/forward?up,/")).await;
        assert!(answer.broken.is_some(), "{answer}");
    });
}

#[test]
fn an_answer_that_its_application_never_reads_stays_where_it_is() {
    run(async {
        let upstream = Upstream::always(head(LARGE).then(Step::Fill(LARGE))).await;
        let gateway = with(&upstream, "").await;
        ask(Protocol::H1, &gateway, &Request::get("/env")).await.assert(200);
        let before = gateway.resident();
        let answer = ask(Protocol::H1, &gateway, &Request::get("/peek?up,/")).await;
        assert_eq!(answer.text(), "200");
        assert!(gateway.resident() < before + FLAT);
        // Its connection goes with it.
        upstream.until("the connection's end", |state| state.ended == 1).await;
        // The same of the client's own body.
        let mut request = Request::new("POST", "/env");
        request = request.body(vec![b'x'; 8 * MIB as usize]);
        ask(Protocol::H1, &gateway, &request).await.assert(200);
        assert!(gateway.resident() < before + FLAT);
    });
}

#[test]
fn a_client_that_leaves_in_the_midst_ends_its_request_upstream() {
    run(async {
        let upstream = Upstream::always(head(LARGE).early().then(Step::Fill(LARGE))).await;
        let gateway = with(&upstream, "").await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("POST /forward?up,/ HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").await;
        client.read_some().await;
        drop(client);
        upstream.until("the connection's end", |state| state.ended == 1).await;
        // Before there was an answer, too.
        upstream.reset(vec![Script::default().early().then(Step::Stall)]);
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("POST /forward?up,/ HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").await;
        upstream.until("a request", |state| state.requests.len() == 2).await;
        drop(client);
        upstream.until("the connection's end", |state| state.ended == 2).await;
        ask(Protocol::H1, &gateway, &Request::get("/env")).await.assert(200);
    });
}

#[test]
fn a_body_is_as_long_as_its_fields_say() {
    run(async {
        let upstream = Upstream::always(Script::ok("yes")).await;
        let gateway = with(&upstream, "").await;
        let text = async |path: &str| ask(Protocol::H1, &gateway, &Request::get(path)).await.text();
        assert_eq!(text("/announce?up,/,4").await, "200");
        assert_eq!(upstream.requests()[0].field("content-length"), Some("4"));
        assert!(text("/announce?up,/,3").await.contains("RequestBodySize(Some(3))"));
        assert!(text("/announce?up,/,5").await.contains("ConnectionTerminated"));
        // What is whole before anybody waits goes out with its length.
        assert_eq!(text("/fetch?up,/").await, "200 yes");
        let seen = upstream.requests();
        let last = seen.last().unwrap();
        assert_eq!((last.field("content-length"), last.field("transfer-encoding")), (None, None));
        assert_eq!(text("/early?up,/").await, (64 << 10).to_string());
    });
}
