//! Servers that filters pick.

use std::cell::Cell;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_abi::Phase;
use pilotlight_filter::{Call, Failure, Fault, Filter, Pick, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::cast::role;
use super::rig::{Client, Part, play, tell, told};

thread_local! {
    static DEAD: Cell<Option<SocketAddr>> = const { Cell::new(None) };
    static SERVER: Cell<Option<SocketAddr>> = const { Cell::new(None) };
}

pub(super) fn part(name: &str) -> Option<Part> {
    match name {
        "picks" => role(&[Phase::Upstream], |_| Box::new(Picks)),
        _ => None,
    }
}

/// The dead server at first, then the other.
struct Picks;

impl Filter for Picks {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        assert!(call.exchange.pick.is_none());
        let server = match call.exchange.failure {
            None => DEAD.get(),
            Some(Failure { answered, status }) => {
                tell(format!("failed {answered} {status}"));
                SERVER.get()
            }
        };
        let server = server.unwrap();
        call.exchange.pick = Some(Box::new(Pick {
            host: server.ip().to_string().into(),
            port: server.port(),
            connect: Some(Duration::from_secs(5)),
            read: Some(Duration::from_millis(200)),
            more_tries: u32::from(call.exchange.failure.is_none()),
            ..Pick::default()
        }));
        Poll::Ready(Ok(Verdict::Continue))
    }
}

const ROUTES: &str = r#"
[[routes]]
filters = ["picks"]
upstream = "app"
[upstreams.app]
endpoints = ["http://0.0.0.1:1"]
"#;

/// A server that answers each request of a connection so.
async fn serve(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tell("accepted");
            tokio::task::spawn_local(async move {
                let mut seen = vec![0; 4096];
                while stream.read(&mut seen).await.is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    address
}

/// An address where nobody listens.
async fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_filter_picks_servers_until_one_answers() {
    play(ROUTES, async |mut client: Client| {
        DEAD.set(Some(dead().await));
        SERVER.set(Some(serve(OK).await));
        for _ in 0..2 {
            client.get("/").await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 OK"));
            client.until("ok").await;
        }
    });
    // The second time its connection is kept.
    assert_eq!(told(), ["failed false 502", "accepted", "failed false 502"]);
}

#[test]
fn a_pick_that_is_slow_is_a_try_that_failed() {
    play(ROUTES, async |mut client: Client| {
        DEAD.set(Some(serve("").await));
        SERVER.set(Some(serve(OK).await));
        client.get("/").await;
        client.until("ok").await;
    });
    assert_eq!(told(), ["accepted", "failed false 504", "accepted"]);
}

#[test]
fn tries_end_when_no_more_are_allowed() {
    play(ROUTES, async |mut client: Client| {
        DEAD.set(Some(dead().await));
        SERVER.set(DEAD.get());
        client.get("/").await;
        assert!(client.head().await.contains("connection_refused"));
    });
    assert_eq!(told(), ["failed false 502"]);
}

#[test]
fn what_may_have_been_done_is_not_done_twice() {
    play(ROUTES, async |mut client: Client| {
        DEAD.set(Some(serve("").await));
        SERVER.set(Some(serve(OK).await));
        client.send("PATCH / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 504"));
    });
}
