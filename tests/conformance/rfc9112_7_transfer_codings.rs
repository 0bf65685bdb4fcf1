//! RFC 9112 section 7: the chunked coding.

use super::forwarding;
use crate::support::{Script, h1, run};

/// Section 7.1: sizes in either case, with leading zeros; section 7.1.1: unknown extensions are ignored.
#[test]
fn sizes_and_extensions() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client
            .write(
                "POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: Chunked\r\n\r\n\
                 A;name=value;other=\"quoted\"\r\n0123456789\r\n00a\r\n0123456789\r\n1\r\n!\r\n000\r\n\r\n",
            )
            .await;
        client.answer(false).await.assert(200);
        assert_eq!(upstream.requests()[0].body, b"01234567890123456789!");
    });
}

/// Section 7.1.2: trailers may be kept apart or dropped, and never merged into the head.
#[test]
fn trailers_stay_trailers() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client
            .write("POST / HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n1\r\na\r\n0\r\nx-t: 1\r\n\r\n")
            .await;
        client.answer(false).await.assert(200);
        let seen = &upstream.requests()[0];
        assert_eq!(seen.field("x-t"), None);
        assert_eq!(seen.trailers, [("x-t".to_owned(), "1".to_owned())]);
    });
}

/// A chunk that the upstream begins goes out before the next one comes.
#[test]
fn chunks_are_not_held_back() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        let script = Script::raw(head).then(crate::support::upstream::Step::Stall);
        let (gateway, _upstream) = forwarding(script).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
        let mut got = String::new();
        while !got.contains("first") {
            got.push_str(&String::from_utf8_lossy(&client.read_some().await));
        }
    });
}
