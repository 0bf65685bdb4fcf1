//! RFC 9110 section 7.6: forwarding. Most of it stands in `cases/forwarding.case`.

use super::forwarding;
use crate::support::message::{ALL, ask};
use crate::support::{Request, Script, h1, run};

/// Section 7.6.1: a field named by Connection ends here, in any case and any list.
#[test]
fn connection_options() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        for list in ["x-a", "X-A", " , x-a ,", "x-b, x-a", "keep-alive,x-a"] {
            client.write(format!("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: {list}\r\nx-a: 1\r\nX-B: 2\r\nx-ab: 3\r\n\r\n")).await;
            client.answer(false).await.assert(200);
        }
        for seen in upstream.requests() {
            assert_eq!(seen.field("x-a"), None);
            assert_eq!(seen.field("x-ab"), Some("3"));
            assert_eq!(seen.field("connection"), None);
        }
    });
}

/// Section 7.6.2: Max-Forwards is for TRACE and OPTIONS; others it passes untouched.
#[test]
fn max_forwards_passes() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        for protocol in ALL {
            ask(protocol, &gateway, &Request::get("/").field("max-forwards", "0"))
                .await
                .assert(200);
        }
        assert!(upstream.requests().iter().all(|r| r.field("max-forwards") == Some("0")));
    });
}

/// Section 7.6.2: each hop of TRACE and OPTIONS counts, and the last one answers.
#[test]
fn max_forwards_counts() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        for protocol in ALL {
            for (method, last) in [("OPTIONS", 200), ("TRACE", 501)] {
                let hops = |n| Request::new(method, "/").field("max-forwards", n);
                ask(protocol, &gateway, &hops("3")).await.assert(200);
                assert_eq!(upstream.requests().pop().unwrap().field("max-forwards"), Some("2"));
                let count = upstream.requests().len();
                ask(protocol, &gateway, &hops("0")).await.assert(last);
                assert_eq!(upstream.requests().len(), count);
            }
        }
    });
}

/// Section 7.6.3: Via is sent both ways, each hop behind those before it.
#[test]
fn via_grows() {
    run(async {
        let (gateway, upstream) =
            forwarding(Script::raw("HTTP/1.1 200 OK\r\nvia: 1.0 in\r\ncontent-length: 0\r\n\r\n"))
                .await;
        for protocol in ALL {
            let answer = ask(
                protocol,
                &gateway,
                &Request::get("/").field("via", "1.0 a").field("via", "1.1 b"),
            )
            .await;
            assert_eq!(answer.assert(200).all("via").join(", "), "1.0 in, 1.1 pilotlight");
            let seen = upstream.requests().pop().unwrap();
            let wanted = format!("1.0 a, 1.1 b, {} pilotlight", protocol.version());
            assert_eq!(seen.all("via").join(", "), wanted);
        }
    });
}

/// Section 7.7: what is not understood is not changed.
#[test]
fn bytes_of_values_pass_as_they_are() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let value = "a  b\t\"c, d\" (e) ;f=g~!#$%&'*+-.^_`|";
        for protocol in ALL {
            ask(protocol, &gateway, &Request::get("/").field("x-a", value)).await.assert(200);
            assert_eq!(upstream.requests().pop().unwrap().field("x-a"), Some(value));
        }
    });
}
