//! Agents in numbers, for a controller that is real: each has a connection, TLS both ways, and proves what it is told
//! for as long as it is told. `load ADDRESS FOLDER COUNT [PERCENT NODES]`: the folder has `fleet.pem` (whom to trust) and
//! `load.pem` (who all of them are: a certificate for `*.fleet.load`, and its key). With a percentage so many of
//! them crash from any release but their first one, and a rule is taken to be met with so many nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pilotlight_controller::pem;
use pilotlight_fleet::message::{Denied, Desired, Progress, Status};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::rollout::{Failure, Reported};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
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
    /// Of a release that is not the first one: who switched to it, who has it for good, who crashed from it.
    took: AtomicUsize,
    kept: AtomicUsize,
    crashed: AtomicUsize,
    taken_back: Mutex<Back>,
}

/// A release that is taken back.
#[derive(Default)]
struct Back {
    /// When the failure that meets the rule was said, and how many had it then.
    met: Option<(Instant, usize, usize)>,
    /// When each of those who had it heard that they should not, and when they had proved what they had before.
    told: Vec<Instant>,
    back: Vec<Instant>,
}

struct Agent {
    address: String,
    tls: TlsConnector,
    sums: Arc<Sums>,
    stream: Option<TlsStream<Counted>>,
    status: Status,
    tag: String,
    desired: Desired,
    /// Crashes from what is not its first release, and after so many of them the rule is met.
    crashes: bool,
    rule: usize,
    first: Option<Digest>,
    /// Until when what it tries must prove itself.
    until: Instant,
    /// It had another release, and has been told to go back.
    returns: bool,
}

/// A connection whose bytes are counted as they are on the wire.
struct Counted {
    tcp: TcpStream,
    sums: Arc<Sums>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, into);
        self.sums.bytes.fetch_add((into.filled().len() - before) as u64, Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        if let Poll::Ready(Ok(wrote)) = wrote {
            self.sums.bytes.fetch_add(wrote as u64, Relaxed);
        }
        wrote
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, folder, count, fails) = match arguments.as_slice() {
        [address, folder, count] => (address, folder, count, None),
        [address, folder, count, percent, rule] => (address, folder, count, Some((percent, rule))),
        _ => return eprintln!("usage: load ADDRESS FOLDER COUNT [PERCENT NODES]"),
    };
    let (folder, count) = (PathBuf::from(folder), count.parse().expect("a number"));
    let fails = fails.map(|(percent, rule)| (percent.parse().unwrap(), rule.parse().unwrap()));
    let (percent, rule): (usize, usize) = fails.unwrap_or((0, usize::MAX));
    let tls = TlsConnector::from(Arc::new(config(&folder)));
    let sums = Arc::new(Sums::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for at in 0..count {
            // Spread over all: no wave is without some.
            let crashes = at * percent / 100 != (at + 1) * percent / 100;
            let agent = Agent::new(at, address, &tls, &sums, (crashes, rule));
            tokio::spawn(agent.live());
            // As a fleet comes back: not all in the same moment.
            if at % 50 == 49 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        until(|| sums.connected.load(Relaxed) >= count).await;
        println!("{count} agents are there, after {} failures", sums.failures.load(Relaxed));
        sums.bytes.store(0, Relaxed);
        sums.requests.store(0, Relaxed);
        until(|| sums.committed.load(Relaxed) >= count).await;
        let requests = sums.requests.load(Relaxed);
        let each = sums.bytes.load(Relaxed) / count as u64;
        println!("all have committed: {requests} requests, {each} bytes a node with TLS");
        if percent > 0 {
            until(|| sums.is_taken_back()).await;
            print!("{}", sums.taken_back());
        }
    });
}

async fn until(is: impl Fn() -> bool) {
    while !is() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Sums {
    /// Whoever switched has crashed by itself or is back.
    fn is_taken_back(&self) -> bool {
        let back = self.taken_back.lock().unwrap();
        back.met.is_some()
            && !back.back.is_empty()
            && back.back.len() + self.crashed.load(Relaxed) >= self.took.load(Relaxed)
    }

    fn taken_back(&self) -> String {
        let mut back = self.taken_back.lock().unwrap();
        let (met, took, kept) = back.met.unwrap();
        back.told.sort_unstable();
        back.back.sort_unstable();
        let all = back.back.len();
        let after = |at: Option<&Instant>| at.map_or(f64::NAN, |at| (*at - met).as_secs_f64());
        let share = |of: &[Instant]| after(of.get(of.len() * 95 / 100));
        format!(
            "the rule was met when {took} had switched, {kept} of them for good\n\
             the first was told to go back {:.2} s later, 95 % of {} after {:.2} s\n\
             95 % of {all} had proved what they had before after {:.2} s, all after {:.2} s\n",
            after(back.told.first()),
            back.told.len(),
            share(&back.told),
            share(&back.back),
            after(back.back.last()),
        )
    }
}

fn config(folder: &std::path::Path) -> rustls::ClientConfig {
    let roots = pem::authorities(&folder.join("fleet.pem")).unwrap();
    let own = folder.join("load.pem");
    let (chain, key) = (pem::certificates(&own).unwrap(), pem::private(&own).unwrap());
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap()
}

impl Agent {
    fn new(
        at: usize,
        address: &str,
        tls: &TlsConnector,
        sums: &Arc<Sums>,
        (crashes, rule): (bool, usize),
    ) -> Agent {
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
            crashes,
            rule,
            first: None,
            until: Instant::now(),
            returns: false,
        }
    }

    async fn live(mut self) {
        let mut there = false;
        let mut wait = 0;
        loop {
            match self.ask(wait).await {
                Ok(()) => {
                    if !there {
                        there = true;
                        self.sums.connected.fetch_add(1, Relaxed);
                    }
                    let before = self.status.progress.clone();
                    self.act();
                    // What is new is said at once; who tries something looks again soon; else it waits for news.
                    wait = match () {
                        () if before != self.status.progress => 0,
                        () if self.status.tries.is_some() => 1,
                        () => 50,
                    };
                    if self.status.tries.is_none() && before == self.status.progress {
                        self.settled();
                    }
                }
                Err(_) => {
                    self.sums.failures.fetch_add(1, Relaxed);
                    self.stream = None;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// It has said all that it had to say.
    fn settled(&mut self) {
        if self.first.is_none() && self.status.runs.is_some() {
            self.first = self.status.runs.clone();
            self.sums.committed.fetch_add(1, Relaxed);
        }
        if self.returns && self.status.runs == self.first {
            self.returns = false;
            self.sums.taken_back.lock().unwrap().back.push(Instant::now());
        }
    }

    /// Fetched and checked in no time; what is switched to proves itself for as long as it should.
    fn act(&mut self) {
        let wanted = self.desired.release.as_ref().and_then(|release| release.digest.clone());
        let Some(wanted) = wanted else { return };
        let is_other = |digest: &Digest| self.first.as_ref().is_some_and(|first| first != digest);
        let had = self.status.tries.as_ref().or(self.status.runs.as_ref());
        if !self.returns && !is_other(&wanted) && had.is_some_and(is_other) {
            self.returns = true;
            self.sums.taken_back.lock().unwrap().told.push(Instant::now());
        }
        let reported = match self.status.tries.clone() {
            Some(trial) if trial == wanted && Instant::now() < self.until => return,
            Some(trial) if trial == wanted && self.crashes && is_other(&trial) => {
                self.status.tries = None;
                let (failure, message) = (Failure::CrashLoop, "hello.lua:3: boom".to_owned());
                self.status.denied.push(Denied { release: trial, failure, message });
                self.crashed();
                Reported::Failed(Failure::CrashLoop)
            }
            Some(trial) if trial == wanted => {
                if is_other(&trial) {
                    self.sums.kept.fetch_add(1, Relaxed);
                }
                (self.status.tries, self.status.runs) = (None, Some(trial));
                Reported::Committed
            }
            _ => {
                // What it tried is not wished for any more.
                self.status.tries = None;
                let denied = self.status.denied.iter().any(|denied| denied.release == wanted);
                if self.status.runs.as_ref() == Some(&wanted) {
                    Reported::Committed
                } else if denied && !self.desired.retry {
                    return;
                } else if self.desired.switch {
                    if is_other(&wanted) {
                        self.sums.took.fetch_add(1, Relaxed);
                    }
                    let probation = Duration::from_millis(self.desired.probation.unwrap_or(0));
                    self.until = Instant::now() + probation;
                    (self.status.tries, self.status.seen) = (Some(wanted), self.desired.serial);
                    Reported::Switching
                } else {
                    Reported::Ready
                }
            }
        };
        let serial = self.desired.serial;
        self.status.progress = Some(Progress { serial, reported, message: None });
    }

    fn crashed(&self) {
        let sums = &self.sums;
        if sums.crashed.fetch_add(1, Relaxed) + 1 == self.rule {
            let (took, kept) = (sums.took.load(Relaxed), sums.kept.load(Relaxed));
            sums.taken_back.lock().unwrap().met = Some((Instant::now(), took, kept));
        }
    }

    /// One request; what is new is taken over.
    async fn ask(&mut self, wait: u64) -> io::Result<()> {
        if self.stream.is_none() {
            let tcp = TcpStream::connect(&self.address).await?;
            tcp.set_nodelay(true)?;
            let host = self.address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            let counted = Counted { tcp, sums: Arc::clone(&self.sums) };
            self.stream = Some(self.tls.connect(name, counted).await?);
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
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        while bytes.len() < end + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.sums.requests.fetch_add(1, Relaxed);
        match head.split(' ').nth(1) {
            Some("200") => {
                let told: serde_json::Value = serde_json::from_slice(&bytes[end..])?;
                self.tag = told["tag"].as_str().unwrap_or_default().into();
                self.desired = serde_json::from_value(told["desired"].clone())?;
                Ok(())
            }
            Some("204") => Ok(()),
            other => Err(io::Error::other(other.unwrap_or_default())),
        }
    }
}
