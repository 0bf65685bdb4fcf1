//! RFC 9113 section 8: HTTP semantics over HTTP/2.

use super::forwarding;
use crate::support::message::{Client, Protocol};
use crate::support::upstream::Step;
use crate::support::{Request, Script, h2, run};

/// Section 8.2.3: crumbs of a cookie become one field for HTTP/1.
#[test]
fn cookie_crumbs_are_joined() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        for protocol in [Protocol::H2, Protocol::H3] {
            let mut client = Client::connect(protocol, &gateway, "a.test").await;
            let request = Request::get("/")
                .field("cookie", "a=1")
                .field("cookie", "b=2")
                .field("cookie", "c=3");
            client.send(&request).await.assert(200);
            assert_eq!(upstream.requests().pop().unwrap().all("cookie"), ["a=1; b=2; c=3"]);
        }
    });
}

/// Section 8.2.2: no connection-specific field reaches the client.
#[test]
fn no_connection_fields() {
    run(async {
        let text = "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-b\r\nkeep-alive: timeout=1\r\nproxy-connection: close\r\n\
                    upgrade: h2c\r\nx-b: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        let (gateway, _upstream) = forwarding(Script::raw(text)).await;
        for protocol in [Protocol::H2, Protocol::H3] {
            let answer =
                Client::connect(protocol, &gateway, "a.test").await.send(&Request::get("/")).await;
            answer.assert(200);
            for name in [
                "connection",
                "keep-alive",
                "proxy-connection",
                "upgrade",
                "transfer-encoding",
                "x-b",
            ] {
                assert_eq!(answer.field(name), None, "{name}");
            }
        }
    });
}

/// Section 8.1: a server that has answered before the request's end may ask the client to stop, without an error.
#[test]
fn an_early_answer_is_whole() {
    run(async {
        let mut script =
            Script::raw("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").early();
        script.steps.push(Step::Stall);
        let (gateway, _upstream) = forwarding(script).await;
        let mut client = h2::Client::tls(gateway.tls, "a.test").await;
        let mut request = Request::new("POST", "/").body(vec![b'x'; 4 << 20]);
        request.sized = false;
        let answer = client.send(&request).await;
        assert_eq!(answer.assert(403).text(), "no");
        client.send(&Request::get("/fixed")).await.assert(200);
    });
}

/// Section 8.3.1: `host` may stand in for `:authority`, and is one field for HTTP/1.
#[test]
fn one_host_goes_up() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        for protocol in [Protocol::H2, Protocol::H3] {
            let mut client = Client::connect(protocol, &gateway, "a.test").await;
            client.send(&Request::get("/").field("host", "a.test")).await.assert(200);
            assert_eq!(upstream.requests().pop().unwrap().all("host"), ["a.test"]);
        }
    });
}
