//! RFC 9110 sections 6 and 8: content and its fields.

use super::forwarding;
use crate::support::message::{ALL, ask};
use crate::support::{Request, Script, run};

/// Section 8.6: content-length is forwarded as it is when the body is not changed.
#[test]
fn content_length_stays() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("0123456789")).await;
        for protocol in ALL {
            let answer = ask(protocol, &gateway, &Request::new("POST", "/").body("abc")).await;
            assert_eq!(answer.assert(200).field("content-length"), Some("10"));
            assert_eq!(upstream.requests().pop().unwrap().field("content-length"), Some("3"));
        }
    });
}

/// Section 8.6: a user agent's POST without content has length 0.
#[test]
fn a_post_without_content() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        for protocol in ALL {
            ask(protocol, &gateway, &Request::new("POST", "/")).await.assert(200);
            let seen = upstream.requests().pop().unwrap();
            assert_eq!(seen.field("content-length"), Some("0"));
            assert_eq!(seen.field("transfer-encoding"), None);
        }
    });
}

/// Section 8.4: content codings are the ends' matter.
#[test]
fn content_encoding_passes() {
    run(async {
        let (gateway, upstream) =
            forwarding(Script::raw("HTTP/1.1 200 OK\r\ncontent-encoding: br\r\nvary: accept-encoding\r\ncontent-length: 2\r\n\r\n\u{1}\u{2}")).await;
        for protocol in ALL {
            let request = Request::get("/").field("accept-encoding", "br, gzip;q=0.5");
            let answer = ask(protocol, &gateway, &request).await;
            assert_eq!(answer.assert(200).body, [1, 2]);
            assert_eq!(answer.field("content-encoding"), Some("br"));
            assert_eq!(
                upstream.requests().pop().unwrap().field("accept-encoding"),
                Some("br, gzip;q=0.5")
            );
        }
    });
}
