//! RFC 9113 sections 3, 6.7 and 6.8: prior knowledge, PING, GOAWAY.

use super::forwarding;
use crate::support::upstream::Step;
use crate::support::{Request, Script, h2, run};

/// Section 3.3: clear text by prior knowledge, on the port of HTTP/1.
#[test]
fn prior_knowledge() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let mut client = h2::Client::clear(gateway.clear).await;
        client.send(&Request::new("POST", "/").body("abc")).await.assert(200);
        let seen = &upstream.requests()[0];
        assert_eq!(seen.field("via"), Some("2 pilotlight"));
        assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    });
}

/// Section 3.2: ALPN decides; without h2 in it a client speaks HTTP/1.
#[test]
fn alpn_decides() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::ok("x")).await;
        for (offered, chosen) in
            [(&[&b"h2"[..], b"http/1.1"][..], &b"h2"[..]), (&[&b"http/1.1"[..]][..], b"http/1.1")]
        {
            let stream = crate::support::h1::tls(gateway.tls, "a.test", offered).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(chosen));
        }
        // RFC 7301 section 3.2: nothing in common is an alert.
        assert!(crate::support::h1::tls(gateway.tls, "a.test", &[b"spdy/1"]).await.is_err());
    });
}

/// Section 6.8: a drain sends GOAWAY, and the streams under way come to their end.
#[test]
fn goaway_lets_streams_end() {
    run(async {
        let steps = vec![Step::Pause(std::time::Duration::from_millis(300))];
        let mut script = Script { early: false, steps };
        script.steps.extend(Script::ok("late").steps);
        let (mut gateway, upstream) = forwarding(script).await;
        let client = h2::Client::tls(gateway.tls, "a.test").await;
        let mut under_way = client.clone();
        let waiting = tokio::spawn(async move { under_way.send(&Request::get("/")).await });
        upstream.until("the request", |s| s.requests.len() == 1).await;
        gateway.signal(libc::SIGTERM);
        assert_eq!(waiting.await.unwrap().assert(200).text(), "late");
        assert!(gateway.left().await.success());
    });
}
