//! RFC 9112 sections 2 and 3: messages, request lines, targets.

use super::{exchange, forwarding};
use crate::support::{Script, h1, run};

/// Section 2.2: a server SHOULD ignore at least one empty line before a request.
#[test]
fn an_empty_line_before_a_request() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("\r\nGET /a HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        client.answer(false).await.assert(200);
        // Some clients put one behind a POST.
        client.write("POST /b HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi\r\nGET /c HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        client.answer(false).await.assert(200);
        client.answer(false).await.assert(200);
        let lines: Vec<String> = upstream.requests().into_iter().map(|r| r.line).collect();
        assert_eq!(lines, ["GET /a HTTP/1.1", "POST /b HTTP/1.1", "GET /c HTTP/1.1"]);
    });
}

/// Section 2.3: what is forwarded carries the intermediary's own version.
#[test]
fn the_version_is_our_own() {
    run(async {
        let (gateway, upstream) =
            forwarding(Script::raw("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx")).await;
        let answer = exchange(&gateway, "GET / HTTP/1.0\r\nhost: a.test\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(upstream.requests()[0].line, "GET / HTTP/1.1");
    });
}

/// Section 3.2.2: a proxy MUST replace a received Host by the host of an absolute target.
#[test]
fn an_absolute_target_wins() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("GET http://a.test:80/x?y HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        client.answer(false).await.assert(200);
        client.write("GET HTTP://A.test HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        client.answer(false).await.assert(200);
        client.write("GET http://a.test?q HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        client.answer(false).await.assert(200);
        let lines: Vec<String> = upstream.requests().into_iter().map(|r| r.line).collect();
        assert_eq!(lines, ["GET /x?y HTTP/1.1", "GET / HTTP/1.1", "GET /?q HTTP/1.1"]);
        assert!(upstream.requests().iter().all(|r| r.all("host").len() == 1));
    });
}

/// Section 3.2: a client of HTTP/1.0 may leave Host out.
#[test]
fn http_1_0_without_a_host() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::ok("x")).await;
        let answer = exchange(&gateway, "GET /fixed HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("fixed"), "{answer}");
    });
}

/// Section 3.2.4: OPTIONS asks about the server by an asterisk, which goes on as it is.
#[test]
fn options_and_an_asterisk() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let answer =
            exchange(&gateway, "OPTIONS * HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n")
                .await;
        // Whether a route takes it is the manifest's choice: it is never made into a path.
        assert!(
            answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 404"),
            "{answer}"
        );
        assert!(upstream.requests().iter().all(|r| r.line == "OPTIONS * HTTP/1.1"));
    });
}

/// Section 5.1: blanks around a value are no part of it.
#[test]
fn blanks_around_a_value() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        exchange(
            &gateway,
            "GET / HTTP/1.1\r\nHOST:a.test\r\nX-A: \t v w \t \r\nx-b:\r\nconnection: close\r\n\r\n",
        )
        .await;
        let seen = &upstream.requests()[0];
        assert_eq!(seen.field("x-a"), Some("v w"));
        assert_eq!(seen.field("x-b"), Some(""));
        assert_eq!(seen.field("host"), Some("a.test"));
    });
}
