//! RFC 9112 section 6: how long a body is.

use super::{exchange, forwarding};
use crate::support::{Script, h1, run};

/// Section 6.3: a request without either field has no body.
#[test]
fn a_request_without_a_length_has_no_body() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client
            .write(
                "POST /a HTTP/1.1\r\nhost: a.test\r\n\r\nGET /b HTTP/1.1\r\nhost: a.test\r\n\r\n",
            )
            .await;
        client.answer(false).await.assert(200);
        client.answer(false).await.assert(200);
        assert_eq!(upstream.count(), 2);
        assert_eq!(upstream.requests()[0].length, 0);
    });
}

/// Section 6.1: no transfer-encoding goes to a client of HTTP/1.0.
#[test]
fn a_client_of_1_0_gets_no_chunks() {
    run(async {
        let chunked =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let (gateway, _upstream) = forwarding(Script::raw(chunked)).await;
        let answer =
            exchange(&gateway, "GET / HTTP/1.0\r\nhost: a.test\r\nconnection: keep-alive\r\n\r\n")
                .await;
        assert!(!answer.contains("transfer-encoding"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    });
}

/// Section 6.1 and 6.2: 204 and 1xx carry neither transfer-encoding nor content-length.
#[test]
fn no_length_with_204() {
    run(async {
        let (gateway, _upstream) =
            forwarding(Script::raw("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        let answer = client.answer(false).await;
        answer.assert(204);
        assert_eq!(answer.field("transfer-encoding"), None);
        assert_eq!(answer.field("content-length"), None, "RFC 9110 section 8.6");
    });
}

/// RFC 9112 section 9.3: the upstream's connection is kept, however its body fell into reads.
#[test]
fn a_body_of_any_size_keeps_the_connection() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        for size in [0, 1, 1024, 8 << 10, 64 << 10, 200_000] {
            upstream.reset(vec![Script::ok(&"x".repeat(size)); 4]);
            for _ in 0..4 {
                client.write("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
                assert_eq!(client.answer(false).await.text().len(), size);
            }
        }
        assert_eq!(upstream.connections(), 1);
    });
}

/// Section 6.3: an answer to HEAD ends with its head, whatever its fields say.
#[test]
fn head_ends_with_the_head() {
    run(async {
        for framing in ["content-length: 5", "transfer-encoding: chunked"] {
            let (gateway, upstream) =
                forwarding(Script::raw(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"))).await;
            let mut client = h1::Client::connect(gateway.clear).await;
            for _ in 0..2 {
                client.write("HEAD / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
                let answer = client.answer(true).await;
                assert_eq!(answer.status, 200, "{framing}: {answer}");
            }
            assert_eq!(upstream.connections(), 1, "{framing}: the upstream's connection is kept");
        }
    });
}
