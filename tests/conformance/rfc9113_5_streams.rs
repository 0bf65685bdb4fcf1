//! RFC 9113 section 5: streams, multiplexing, flow control.

use super::forwarding;
use crate::support::upstream::Step;
use crate::support::{Request, Script, h2, run};

/// Section 5: streams are independent: a slow one holds up no other.
#[test]
fn streams_are_independent() {
    run(async {
        let stall = Script { early: false, steps: vec![Step::Stall] };
        let (gateway, upstream) = forwarding(stall).await;
        let client = h2::Client::tls(gateway.tls, "a.test").await;
        let mut slow = client.clone();
        let waiting = tokio::spawn(async move { slow.send(&Request::get("/slow")).await });
        upstream.until("the slow request", |s| s.requests.len() == 1).await;
        let mut quick = client.clone();
        for _ in 0..10 {
            quick.send(&Request::get("/fixed")).await.assert(200);
        }
        assert!(!waiting.is_finished());
    });
}

/// Section 5.1.2: as many streams at once as were announced.
#[test]
fn many_streams_at_once() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::ok("x")).await;
        let client = h2::Client::tls(gateway.tls, "a.test").await;
        let asked: Vec<_> = (0..100)
            .map(|_| {
                let mut client = client.clone();
                tokio::spawn(
                    async move { client.send(&Request::new("POST", "/").body("body")).await },
                )
            })
            .collect();
        for answer in asked {
            answer.await.unwrap().assert(200);
        }
    });
}

/// Section 5.2: a reader that takes nothing holds the upstream up, and nothing grows.
#[test]
fn flow_control_reaches_the_upstream() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n";
        let (gateway, _upstream) = forwarding(Script::raw(head).then(Step::Fill(64 << 20))).await;
        let mut client = h2::Client::tls(gateway.tls, "a.test").await;
        client.send(&Request::get("/fixed")).await.assert(200);
        let before = gateway.resident();
        let request = http::Request::get("https://a.test/").body(()).unwrap();
        let (response, _) =
            client.send.clone().ready().await.unwrap().send_request(request, true).unwrap();
        let body = response.await.unwrap().into_body();
        // Time enough for all 64 MiB to arrive, were nobody held up.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let added = gateway.resident().saturating_sub(before);
        drop(body);
        assert!(added < 8 << 20, "{added} bytes for a body that nobody reads");
    });
}

/// Section 5.4.2: a stream that the client resets takes the upstream's exchange with it.
#[test]
fn a_reset_cancels_the_exchange() {
    run(async {
        let stall = Script { early: false, steps: vec![Step::Stall] };
        let (gateway, upstream) = forwarding(stall).await;
        let mut client = h2::Client::tls(gateway.tls, "a.test").await;
        let request = http::Request::get("https://a.test/").body(()).unwrap();
        let (response, mut stream) =
            client.send.clone().ready().await.unwrap().send_request(request, true).unwrap();
        upstream.until("the request", |s| s.requests.len() == 1).await;
        stream.send_reset(::h2::Reason::CANCEL);
        drop(response);
        upstream.until("its end", |s| s.ended == 1).await;
        client.send(&Request::get("/fixed")).await.assert(200);
    });
}
