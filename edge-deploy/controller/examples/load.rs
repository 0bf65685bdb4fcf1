//! Agents in numbers, for a controller that is real: each has a connection, TLS both ways, and does at once what it
//! is told. `load ADDRESS FOLDER COUNT`: the folder has `fleet.pem` (whom to trust) and `load.pem` (who all of them
//! are: a certificate for `*.fleet.load`, and its key).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pilotlight_fleet::message::{Desired, Progress, Status};
use pilotlight_fleet::rollout::Reported;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What all of them have come to.
#[derive(Default)]
struct Sums {
    connected: AtomicUsize,
    committed: AtomicUsize,
    requests: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
}

struct Agent {
    address: String,
    tls: TlsConnector,
    sums: Arc<Sums>,
    stream: Option<TlsStream<TcpStream>>,
    status: Status,
    tag: String,
    desired: Desired,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, folder, count] = arguments.as_slice() else {
        eprintln!("usage: load ADDRESS FOLDER COUNT");
        return;
    };
    let (folder, count) = (PathBuf::from(folder), count.parse().expect("a number"));
    let tls = TlsConnector::from(Arc::new(config(&folder)));
    let sums = Arc::new(Sums::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for at in 0..count {
            let agent = Agent::new(at, address, &tls, &sums);
            tokio::spawn(agent.live());
            // As a fleet comes back: not all in the same moment.
            if at % 50 == 49 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let mut begun = None;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let committed = sums.committed.load(Relaxed);
            let (connected, failures) = (sums.connected.load(Relaxed), sums.failures.load(Relaxed));
            if begun.is_none() && connected >= count {
                println!("{count} agents are there, after {failures} failures");
                sums.bytes.store(0, Relaxed);
                sums.requests.store(0, Relaxed);
            }
            if connected >= count {
                begun.get_or_insert_with(Instant::now);
            }
            if committed >= count {
                let requests = sums.requests.load(Relaxed);
                let each = sums.bytes.load(Relaxed) / count as u64;
                println!("all have committed: {requests} requests, {each} bytes of HTTP a node");
                return;
            }
        }
    });
}

fn config(folder: &std::path::Path) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(folder.join("fleet.pem")).unwrap() {
        roots.add(authority.unwrap()).unwrap();
    }
    let own = folder.join("load.pem");
    let chain = CertificateDer::pem_file_iter(&own).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&own).unwrap();
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

impl Agent {
    fn new(at: usize, address: &str, tls: &TlsConnector, sums: &Arc<Sums>) -> Agent {
        let status = Status {
            node: format!("n{at}.fleet.load"),
            boot: format!("{}", std::process::id()),
            labels: [("role".to_owned(), "pop".into())].into(),
            ..Status::default()
        };
        Agent {
            address: address.into(),
            tls: tls.clone(),
            sums: Arc::clone(sums),
            stream: None,
            status,
            tag: String::new(),
            desired: Desired::default(),
        }
    }

    async fn live(mut self) {
        let (mut there, mut has) = (false, false);
        let mut wait = 0;
        loop {
            match self.ask(wait).await {
                Ok(news) => {
                    if !there {
                        there = true;
                        self.sums.connected.fetch_add(1, Relaxed);
                    }
                    let before = self.status.progress.clone();
                    if news || wait == 0 {
                        self.act();
                    }
                    if !has && self.status.runs.is_some() && before == self.status.progress {
                        has = true;
                        self.sums.committed.fetch_add(1, Relaxed);
                    }
                    // What is new is said at once; else it waits for news.
                    wait = if before == self.status.progress { 50 } else { 0 };
                }
                Err(_) => {
                    self.sums.failures.fetch_add(1, Relaxed);
                    self.stream = None;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Fetched, checked, switched and proved in no time.
    fn act(&mut self) {
        let wanted = self.desired.release.as_ref().and_then(|release| release.digest.clone());
        let Some(wanted) = wanted else { return };
        let reported = if self.status.runs.as_ref() == Some(&wanted) {
            Reported::Committed
        } else if self.status.tries.take().is_some() {
            self.status.runs = Some(wanted);
            Reported::Committed
        } else if self.desired.switch {
            (self.status.tries, self.status.seen) = (Some(wanted), self.desired.serial);
            Reported::Switching
        } else {
            Reported::Ready
        };
        let serial = self.desired.serial;
        self.status.progress = Some(Progress { serial, reported, message: None });
    }

    /// One request; whether there was news.
    async fn ask(&mut self, wait: u64) -> std::io::Result<bool> {
        if self.stream.is_none() {
            let tcp = TcpStream::connect(&self.address).await?;
            tcp.set_nodelay(true)?;
            let host = self.address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
            let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
            self.stream = Some(self.tls.connect(name, tcp).await?);
        }
        self.status.seq += 1;
        let body = serde_json::to_vec(&self.status)?;
        let head = format!(
            "POST /v1/desired?wait={wait}&have={} HTTP/1.1\r\nhost: fleet\r\ncontent-length: {}\r\n\r\n",
            self.tag,
            body.len()
        );
        let request = [head.as_bytes(), &body].concat();
        let stream = self.stream.as_mut().expect("just opened");
        stream.write_all(&request).await?;
        let mut bytes = Vec::with_capacity(1024);
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        while bytes.len() < end + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.sums.requests.fetch_add(1, Relaxed);
        self.sums.bytes.fetch_add((request.len() + bytes.len()) as u64, Relaxed);
        match head.split(' ').nth(1) {
            Some("200") => {
                let told: serde_json::Value = serde_json::from_slice(&bytes[end..])?;
                self.tag = told["tag"].as_str().unwrap_or_default().into();
                self.desired = serde_json::from_value(told["desired"].clone())?;
                Ok(true)
            }
            Some("204") => Ok(false),
            other => Err(std::io::Error::other(other.unwrap_or_default())),
        }
    }
}
