//! RFC 9110 sections 10.1.1 and 15: expectations and status codes.

use super::forwarding;
use crate::support::message::{ALL, Client, ask};
use crate::support::{Certificate, Request, Script, run};

/// Section 15: a status that nobody knows passes.
#[test]
fn unknown_statuses_pass() {
    run(async {
        for status in [299, 399, 418, 499, 599] {
            let (gateway, _upstream) = forwarding(Script::raw(format!(
                "HTTP/1.1 {status} Odd\r\ncontent-length: 1\r\n\r\nx"
            )))
            .await;
            for protocol in ALL {
                assert_eq!(
                    ask(protocol, &gateway, &Request::get("/")).await.assert(status).text(),
                    "x"
                );
            }
        }
    });
}

/// Section 15.5.20: a host that the connection's certificate is not for, while another one is.
#[test]
fn misdirected_requests() {
    run(async {
        let upstream = crate::support::Upstream::always(Script::ok("x")).await;
        let rest = format!(
            r#"[[routes]]
upstream = "app"
[upstreams.app]
endpoints = ["http://{}"]
[[listeners]]
name = "two"
address = "{{two}}"
protocols = ["http1", "http2", "http3"]
tls = [{{ certificate = "a.pem", key = "a.key" }}, {{ certificate = "b.pem", key = "b.key" }}]
"#,
            upstream.address
        );
        let two = crate::support::free_address();
        let (a, b) = (Certificate::new(&["a.test"]), Certificate::new(&["b.test"]));
        let setup = crate::support::gateway::Setup::new(rest.replace("{two}", &two.to_string()))
            .file("a.pem", &a.pem)
            .file("a.key", &a.key)
            .file("b.pem", &b.pem)
            .file("b.key", &b.key);
        let _gateway = setup.start().await;
        let clients = [
            Client::H1(crate::support::h1::Client::tls(two, "a.test").await),
            Client::H2(crate::support::h2::Client::tls(two, "a.test").await),
            Client::H3(crate::support::h3::Client::connect(two, "a.test").await),
        ];
        for mut client in clients {
            client.send(&Request::get("/")).await.assert(200);
            let other = client.send(&Request::get("/").host("b.test")).await;
            assert_eq!(other.assert(421).field("content-type"), Some("application/problem+json"));
            // A name that no certificate is for gets the first one's, which is this connection's.
            client.send(&Request::get("/").host("c.test")).await.assert(200);
            client.send(&Request::get("/").host("A.test:443")).await.assert(200);
        }
        assert_eq!(upstream.count(), 9);
    });
}

/// Section 10.1.1: no 100 to a client that did not ask, or that speaks 1.0.
#[test]
fn no_unasked_100() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::raw(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ))
        .await;
        for protocol in ALL {
            let mut client = Client::connect(protocol, &gateway, "a.test").await;
            let answer = client.send(&Request::new("POST", "/").body("x")).await;
            assert!(answer.assert(200).interim.is_empty(), "{answer}");
        }
        let old = super::exchange(
            &gateway,
            "POST / HTTP/1.0\r\nhost: a.test\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx",
        )
        .await;
        assert!(old.starts_with("HTTP/1.1 200"), "{old}");
    });
}

/// Section 15.2: no interim response to a client of 1.0.
#[test]
fn no_interim_for_1_0() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::raw("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
        let old = super::exchange(&gateway, "GET / HTTP/1.0\r\nhost: a.test\r\n\r\n").await;
        assert!(old.starts_with("HTTP/1.1 200"), "{old}");
    });
}
