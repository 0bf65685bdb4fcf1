//! RFC 9112 section 9: connections.

use super::{exchange, forwarding};
use crate::support::{Script, h1, run};

/// Section 9.3: a connection of HTTP/1.1 persists, one of 1.0 only when asked.
#[test]
fn persistence() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::ok("x")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        for _ in 0..3 {
            client.write("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
            assert!(!client.answer(false).await.assert(200).closed);
        }
        for _ in 0..2 {
            client.write("GET / HTTP/1.0\r\nhost: a.test\r\nconnection: keep-alive\r\n\r\n").await;
            let answer = client.answer(false).await;
            assert_eq!(answer.assert(200).field("connection"), Some("keep-alive"));
        }
        client.write("GET / HTTP/1.0\r\nhost: a.test\r\n\r\n").await;
        client.answer(false).await.assert(200);
        assert!(client.is_closed().await);
    });
}

/// Section 9.6: who is told to close says so, answers, and closes.
#[test]
fn close_is_answered_by_close() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let both = "GET /a HTTP/1.1\r\nhost: a.test\r\nconnection: Close\r\n\r\nGET /b HTTP/1.1\r\nhost: a.test\r\n\r\n";
        let answer = exchange(&gateway, both).await;
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            1,
            "a request behind a close is not looked at"
        );
        assert_eq!(upstream.count(), 1);
    });
}

/// Section 9.3.2: pipelined requests are answered in their order.
#[test]
fn pipelining() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        let requests: String = (0..20)
            .map(|n| format!("POST /{n} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\nabc"))
            .collect();
        client.write(requests).await;
        for _ in 0..20 {
            client.answer(false).await.assert(200);
        }
        let lines: Vec<String> = upstream.requests().into_iter().map(|r| r.line).collect();
        let wanted: Vec<String> = (0..20).map(|n| format!("POST /{n} HTTP/1.1")).collect();
        assert_eq!(lines, wanted);
    });
}

/// Section 9.3: what the route does not read is read away, or the connection closes; it is never the next request.
#[test]
fn an_unread_body_is_no_request() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let inner = "GET /smuggled HTTP/1.1\r\nhost: a.test\r\n\r\n";
        let mut client = h1::Client::connect(gateway.clear).await;
        let length = inner.len();
        client
            .write(format!(
                "POST /fixed HTTP/1.1\r\nhost: a.test\r\ncontent-length: {length}\r\n\r\n{inner}"
            ))
            .await;
        client.answer(false).await.assert(200);
        client.write("GET /next HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        client.answer(false).await.assert(200);
        let lines: Vec<String> = upstream.requests().into_iter().map(|r| r.line).collect();
        assert_eq!(lines, ["GET /next HTTP/1.1"]);
    });
}

/// Section 9.5: a drain closes idle connections and says so on the others.
#[test]
fn a_drain_says_close() {
    run(async {
        let slow = Script::ok("x");
        let pause = crate::support::upstream::Step::Pause(std::time::Duration::from_millis(300));
        let script = Script { steps: [vec![pause], slow.steps].concat(), early: false };
        let (mut gateway, upstream) = forwarding(script).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        upstream.until("the request", |s| s.requests.len() == 1).await;
        gateway.signal(libc::SIGTERM);
        let answer = client.answer(false).await;
        assert!(answer.assert(200).closed, "{answer}");
        assert!(client.is_closed().await);
        assert!(gateway.left().await.success());
    });
}

/// Section 9.6 lets us take a client that closes its half for gone: what it asked for is cancelled.
#[test]
fn a_half_closed_client_is_gone() {
    run(async {
        let stall = Script::default().then(crate::support::upstream::Step::Stall);
        let (gateway, upstream) = forwarding(stall).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        upstream.until("the request", |s| s.requests.len() == 1).await;
        client.finish().await;
        upstream.until("its end", |s| s.ended == 1).await;
        gateway.logged(&["\"status\":499"]).await.unwrap();
    });
}

/// An answer that needs no waiting is there before anyone looks at the client.
#[test]
fn a_half_closed_client_gets_what_is_at_hand() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::ok("x")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("GET /fixed HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        client.finish().await;
        assert!(client.rest().await.ends_with(b"fixed"));
    });
}
