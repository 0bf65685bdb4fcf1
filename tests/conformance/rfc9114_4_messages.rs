//! RFC 9114 section 4: HTTP semantics over HTTP/3.

use super::forwarding;
use crate::support::message::{Client, Protocol, ask};
use crate::support::upstream::Step;
use crate::support::{Request, Script, run, soon};

/// Section 4.1: a stream each; more of them than may be open at once.
#[test]
fn many_streams_of_one_connection() {
    run(async {
        let (gateway, _upstream) = forwarding(Script::ok("x")).await;
        let mut client = Client::connect(Protocol::H3, &gateway, "a.test").await;
        for _ in 0..250 {
            client.send(&Request::get("/")).await.assert(200);
        }
    });
}

/// Section 4.1.1: a request that the client cancels is cancelled at the upstream.
#[test]
fn a_cancelled_request() {
    run(async {
        let (gateway, upstream) =
            forwarding(Script { early: false, steps: vec![Step::Stall] }).await;
        let Client::H3(mut client) = Client::connect(Protocol::H3, &gateway, "a.test").await else {
            unreachable!()
        };
        let request = Request::get("/");
        {
            let asked = client.send(&request);
            tokio::pin!(asked);
            let seen = upstream.until("the request", |s| s.requests.len() == 1);
            tokio::select! {
                answer = &mut asked => panic!("answered: {answer}"),
                () = seen => {}
            }
        }
        // Dropped: STOP_SENDING.
        upstream.until("its end", |s| s.ended == 1).await;
        client.send(&Request::get("/fixed")).await.assert(200);
    });
}

/// Section 4.1: an upstream that breaks off is a reset, not an end.
#[test]
fn a_broken_body_is_a_reset() {
    run(async {
        let (gateway, _upstream) = forwarding(
            Script::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").then(Step::Close),
        )
        .await;
        let answer = ask(Protocol::H3, &gateway, &Request::get("/")).await;
        assert!(
            answer.broken.as_deref().is_some_and(|why| why.contains("H3_INTERNAL_ERROR")),
            "{answer}"
        );
    });
}

/// Section 5.2: a drain lets requests end, and then the connection.
#[test]
fn a_drain_lets_requests_end() {
    run(async {
        let mut script = Script {
            early: false,
            steps: vec![Step::Pause(std::time::Duration::from_millis(300))],
        };
        script.steps.extend(Script::ok("late").steps);
        let (mut gateway, upstream) = forwarding(script).await;
        let Client::H3(mut client) = Client::connect(Protocol::H3, &gateway, "a.test").await else {
            unreachable!()
        };
        let request = Request::get("/");
        let asked = client.send(&request);
        tokio::pin!(asked);
        tokio::select! {
            answer = &mut asked => panic!("answered: {answer}"),
            () = upstream.until("the request", |s| s.requests.len() == 1) => {}
        }
        gateway.signal(libc::SIGTERM);
        assert_eq!(soon("the answer", asked).await.assert(200).text(), "late");
        assert!(gateway.left().await.success());
    });
}

/// Section 4.2.2: a head over the limit is answered, and the connection serves on.
#[test]
fn a_head_over_the_limit() {
    run(async {
        let (gateway, upstream) = forwarding(Script::ok("x")).await;
        let mut client = Client::connect(Protocol::H3, &gateway, "a.test").await;
        // The client does not know the limit yet: our settings are on their way.
        let large = Request::get("/").field("x-large", &"x".repeat(200_000));
        client.send(&large).await.assert(431);
        client.send(&Request::get("/")).await.assert(200);
        assert_eq!(upstream.count(), 1);
    });
}
