//! Endpoints that come and go: by probes, by what they answer.

mod names;
mod outlier;
mod probes;
mod sleep;
mod split;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::gateway::Setup;
use crate::support::message::{Protocol, ask};
use crate::support::{Answer, Gateway, Request, free_address, h1, soon};

/// A server with a name, which it says, and a path of health. It can be made to fail.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    name: String,
    /// What `/healthz` is answered with, and all else.
    health: AtomicU16,
    status: AtomicU16,
    /// Heads of requests for `/healthz`.
    probes: Mutex<Vec<String>>,
}

impl Server {
    async fn start(name: &str) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { name: name.into(), ..State::default() };
        let server = Server { address, state: Arc::new(state) };
        server.health(200).status(200);
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let server = serving.clone();
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    while let Ok(1..) = stream.read_buf(&mut read).await {
                        if !read.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        let head = String::from_utf8_lossy(&std::mem::take(&mut read)).into_owned();
                        let answer = server.answer(head);
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    fn answer(&self, head: String) -> String {
        let state = &self.state;
        let probe = head.starts_with("GET /healthz");
        let status = if probe { &state.health } else { &state.status };
        let status = status.load(Ordering::Relaxed);
        if probe {
            state.probes.lock().unwrap().push(head);
        }
        let name = &state.name;
        format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{name}", name.len())
    }

    fn health(&self, status: u16) -> &Server {
        self.state.health.store(status, Ordering::Relaxed);
        self
    }

    fn status(&self, status: u16) -> &Server {
        self.state.status.store(status, Ordering::Relaxed);
        self
    }

    fn probes(&self) -> usize {
        self.state.probes.lock().unwrap().len()
    }
}

/// A gateway with these endpoints, and more keys of their upstream.
fn gateway(endpoints: &[SocketAddr], keys: &str) -> (SocketAddr, Setup) {
    let urls: Vec<String> = endpoints.iter().map(|at| format!("\"http://{at}\"")).collect();
    let urls = urls.join(", ");
    let admin = free_address();
    let mut setup = Setup::new(format!(
        "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nendpoints = [{urls}]\n{keys}\n"
    ));
    setup.gateway = format!("admin = \"{admin}\"\nworkers = 2");
    (admin, setup)
}

async fn get(gateway: &Gateway) -> Answer {
    ask(Protocol::H1, gateway, &Request::get("/")).await
}

/// Who answers so many requests, each named once.
async fn who(gateway: &Gateway, requests: usize) -> String {
    let mut names = Vec::new();
    for _ in 0..requests {
        let answer = get(gateway).await;
        names.push(if answer.is(200) { answer.text() } else { answer.status.to_string() });
    }
    names.sort();
    names.dedup();
    names.join(" ")
}

async fn admin(address: SocketAddr, path: &str) -> String {
    let mut client = h1::Client::connect(address).await;
    client.send(&Request::get(path).field("connection", "close")).await.text()
}

/// Waits until a page of the admin interface says so.
async fn shows(address: SocketAddr, path: &str, text: &str) {
    let look = async {
        while !admin(address, path).await.contains(text) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(text, look).await;
}

/// How often a message is in the log.
fn times(gateway: &Gateway, message: &str) -> usize {
    let quoted = format!("\"{message}\"");
    gateway.log().iter().filter(|line| line.contains(&quoted)).count()
}
