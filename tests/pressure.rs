//! An upstream at its limits: who waits, who is refused, and in what order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::support::gateway::Setup;
use crate::support::message::{ALL, Client, Protocol};
use crate::support::upstream::Step;
use crate::support::{Answer, Gateway, Request, Script, Upstream, free_address, run, soon};

/// A route to `app`, with these keys; the admin interface at an address.
async fn gateway(keys: &str, endpoints: &[&Upstream]) -> (Arc<Gateway>, std::net::SocketAddr) {
    let urls: Vec<String> = endpoints.iter().map(|u| format!("\"http://{}\"", u.address)).collect();
    let mut setup = Setup::new(format!(
        "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nendpoints = [{}]\n{keys}\n",
        urls.join(", ")
    ));
    let admin = free_address();
    setup.gateway = format!("admin = \"{admin}\"");
    (Arc::new(setup.start().await), admin)
}

async fn ask(gateway: Arc<Gateway>, path: &'static str) -> Answer {
    Client::connect(Protocol::H1, &gateway, "a.test").await.send(&Request::get(path)).await
}

/// What `/metrics` says.
pub async fn metrics(admin: std::net::SocketAddr) -> String {
    told(admin, "/metrics").await
}

/// What the admin interface answers to a GET.
pub async fn told(admin: std::net::SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(admin).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// Waits until `/metrics` has this line.
async fn metric(admin: std::net::SocketAddr, line: &str) {
    let look = async {
        loop {
            if metrics(admin).await.lines().any(|l| l == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(line, look).await;
}

fn depth(count: usize) -> String {
    format!("pilotlight_queue_depth{{upstream=\"app\"}} {count}")
}

const PATIENT: &str = "timeouts = { connect = \"20s\" }";

#[test]
fn requests_wait_for_a_connection_in_their_order() {
    run(async {
        let slow = Script { steps: vec![Step::Pause(Duration::from_millis(400))], early: false };
        let ok = Script::ok("x").steps.remove(0);
        let upstream = Upstream::start(vec![slow.then(ok), Script::ok("x")]).await;
        let keys = format!("breaker = {{ max_connections = 1, max_pending = 9 }}\n{PATIENT}");
        let (gateway, admin) = gateway(&keys, &[&upstream]).await;
        let mut all = JoinSet::new();
        all.spawn(ask(gateway.clone(), "/0"));
        upstream.until("the first request", |s| s.requests.len() == 1).await;
        for (path, waiting) in [("/1", 1), ("/2", 2), ("/3", 3)] {
            all.spawn(ask(gateway.clone(), path));
            metric(admin, &depth(waiting)).await;
        }
        for answer in soon("all answers", all.join_all()).await {
            answer.assert(200);
        }
        let lines: Vec<String> = upstream.requests().into_iter().map(|r| r.line).collect();
        let wanted: Vec<String> = (0..4).map(|n| format!("GET /{n} HTTP/1.1")).collect();
        assert_eq!((lines, upstream.connections()), (wanted, 1));
    });
}

#[test]
fn a_full_queue_refuses_and_a_client_that_leaves_makes_room() {
    run(async {
        let stall = Script::default().then(Step::Stall);
        for protocol in ALL {
            let upstream = Upstream::always(stall.clone()).await;
            let keys = format!("breaker = {{ max_connections = 1, max_pending = 1 }}\n{PATIENT}");
            let (gateway, admin) = gateway(&keys, &[&upstream]).await;
            let mut holder = tokio::spawn(ask(gateway.clone(), "/"));
            upstream.until("the first request", |s| s.requests.len() == 1).await;
            let mut waiter = Client::connect(protocol, &gateway, "a.test").await;
            let waiter = tokio::spawn(async move { waiter.send(&Request::get("/")).await });
            metric(admin, &depth(1)).await;

            let refused = ask(gateway.clone(), "/").await;
            let status = refused.assert(503).field("proxy-status");
            assert_eq!(status, Some("pilotlight; error=connection_limit_reached"));
            assert_eq!(refused.field("retry-after"), Some("1"));
            let line =
                "pilotlight_upstream_overflows_total{upstream=\"app\",limit=\"max_pending\"} 1";
            metric(admin, line).await;

            waiter.abort();
            metric(admin, &depth(0)).await;
            holder.abort();
            let _ = (&mut holder).await;
            assert_eq!(upstream.count(), 1, "{}", protocol.name());
        }
    });
}

#[test]
fn waiting_ends_with_the_time_to_connect() {
    run(async {
        let upstream = Upstream::always(Script::default().then(Step::Stall)).await;
        let keys = "breaker = { max_connections = 1 }\ntimeouts = { connect = \"60ms\" }";
        let (gateway, _) = gateway(keys, &[&upstream]).await;
        let holder = tokio::spawn(ask(gateway.clone(), "/"));
        upstream.until("the first request", |s| s.requests.len() == 1).await;
        let answer = ask(gateway.clone(), "/").await;
        let status = answer.assert(503).field("proxy-status");
        assert_eq!(status, Some("pilotlight; error=connection_limit_reached"));
        holder.abort();
    });
}

/// An idle connection to one endpoint is in the way of another's: on this worker, and on others.
#[test]
fn idle_connections_make_room() {
    run(async {
        for workers in [1, 4] {
            let all =
                [Upstream::always(Script::ok("x")).await, Upstream::always(Script::ok("x")).await];
            let rest = format!(
                "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nbreaker = {{ max_connections = 1 }}\n\
                 endpoints = [\"http://{}\", \"http://{}\"]\n{PATIENT}\n",
                all[0].address, all[1].address
            );
            let mut setup = Setup::new(rest);
            setup.gateway = format!("workers = {workers}");
            let gateway = Arc::new(setup.start().await);
            for _ in 0..24 {
                ask(gateway.clone(), "/").await.assert(200);
            }
            assert_eq!(all[0].count() + all[1].count(), 24);
        }
    });
}

#[test]
fn a_retry_needs_no_second_leave() {
    run(async {
        let busy = Script::raw("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
        let upstream = Upstream::start(vec![busy, Script::ok("x")]).await;
        let keys = "breaker = { max_requests = 1, max_connections = 1 }\n\
                    [[routes]]\nmatch = { path = \"/again\" }\nupstream = \"app\"\n\
                    retry = { attempts = 1, on = [\"503\"], budget = \"100%\" }";
        let (gateway, _) = gateway(keys, &[&upstream]).await;
        ask(gateway.clone(), "/again").await.assert(200);
    });
}

/// An h2 upstream that takes so many streams at once, and counts connections.
async fn h2_upstream(streams: u32) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                builder.max_concurrent_streams(streams);
                let mut connection = builder.handshake::<_, bytes::Bytes>(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        let head = http::Response::builder().status(200).body(()).unwrap();
                        let _ = respond.send_response(head, true);
                    });
                }
            });
        }
    });
    (address, count)
}

#[test]
fn a_burst_shares_the_connection_that_is_being_opened() {
    run(async {
        let (address, connections) = h2_upstream(100).await;
        let gateway = Gateway::start(format!(
            "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nprotocol = \"http2\"\n\
             endpoints = [\"http://{address}\"]\n"
        ))
        .await;
        let client = crate::support::h2::Client::clear(gateway.clear).await;
        for _ in 0..2 {
            let mut all = JoinSet::new();
            for _ in 0..60 {
                let mut client = client.clone();
                all.spawn(async move { client.send(&Request::get("/")).await });
            }
            for answer in soon("all answers", all.join_all()).await {
                answer.assert(200);
            }
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);
    });
}

/// Nobody listens: all of the burst are told so, at once.
#[test]
fn a_burst_shares_a_failure() {
    run(async {
        let gateway = Gateway::start(format!(
            "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nprotocol = \"http2\"\n\
             endpoints = [\"http://{}\"]\n",
            free_address()
        ))
        .await;
        let client = crate::support::h2::Client::clear(gateway.clear).await;
        let mut all = JoinSet::new();
        for _ in 0..20 {
            let mut client = client.clone();
            all.spawn(async move { client.send(&Request::get("/")).await });
        }
        for answer in soon("all answers", all.join_all()).await {
            let status = answer.assert(502).field("proxy-status");
            assert_eq!(status, Some("pilotlight; error=connection_refused"));
        }
    });
}

/// An HTTP/2 upstream at its one connection whose streams are all taken: a free stream is one to wait for.
#[test]
fn requests_wait_for_a_stream() {
    run(async {
        let (address, connections) = h2_upstream(2).await;
        let gateway = Gateway::start(format!(
            "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nprotocol = \"http2\"\n\
             breaker = {{ max_connections = 1 }}\nendpoints = [\"http://{address}\"]\n{PATIENT}\n"
        ))
        .await;
        let gateway = Arc::new(gateway);
        // The first one learns how many streams there are.
        ask(gateway.clone(), "/").await.assert(200);
        let client = crate::support::h2::Client::clear(gateway.clear).await;
        let mut all = JoinSet::new();
        for _ in 0..9 {
            let mut client = client.clone();
            all.spawn(async move { client.send(&Request::get("/")).await });
        }
        for answer in soon("all answers", all.join_all()).await {
            answer.assert(200);
        }
        assert_eq!(connections.load(Ordering::Relaxed), 1);
    });
}
