//! An upstream that follows a script, byte for byte, and records what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::soon;

/// What it does for a request.
#[derive(Debug, Clone)]
pub enum Step {
    Send(Bytes),
    /// This many bytes, made while they are sent.
    Fill(u64),
    Pause(Duration),
    /// Reads the request's body (when the script answers early).
    Body,
    /// Closes the connection.
    Close,
    /// Resets it.
    Reset,
    /// Keeps it open and silent until the gateway closes it.
    Stall,
    /// Reads bytes and sends them back until the end.
    Echo,
}

#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Does not wait for the request's body.
    pub early: bool,
    pub steps: Vec<Step>,
}

impl Script {
    /// Sends these bytes once the request is whole.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Script {
        Script { early: false, steps: vec![Step::Send(Bytes::from(bytes.into()))] }
    }

    /// A 200 with a text body.
    pub fn ok(body: &str) -> Script {
        Script::raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    pub fn then(mut self, step: Step) -> Script {
        self.steps.push(step);
        self
    }

    pub fn early(mut self) -> Script {
        self.early = true;
        self
    }
}

/// A request that it was asked.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// `GET /path HTTP/1.1`.
    pub line: String,
    /// As they came.
    pub fields: Vec<(String, String)>,
    /// How long the body was, and its first bytes.
    pub length: u64,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// It came to its end.
    pub whole: bool,
}

impl Seen {
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|(_, v)| v.as_str()).collect()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

/// Most bytes of a body that are kept.
const KEPT: usize = 1 << 20;

#[derive(Debug, Default)]
pub struct State {
    pub requests: Vec<Seen>,
    pub connections: usize,
    /// Connections that the gateway has ended.
    pub ended: usize,
}

/// It listens until it is dropped.
pub struct Upstream {
    pub address: SocketAddr,
    scripts: Arc<Mutex<Scripts>>,
    state: watch::Receiver<State>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Scripts {
    list: Vec<Script>,
    next: usize,
}

impl Scripts {
    /// The scripts in turn; the last one for ever.
    fn take(&mut self) -> Script {
        let index = self.next.min(self.list.len().saturating_sub(1));
        self.next += 1;
        self.list.get(index).cloned().unwrap_or_default()
    }
}

impl Upstream {
    pub async fn start(list: Vec<Script>) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scripts = Arc::new(Mutex::new(Scripts { list, next: 0 }));
        let (tell, state) = watch::channel(State::default());
        let (given, tell) = (scripts.clone(), Arc::new(tell));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tell.send_modify(|s| s.connections += 1);
                let (given, tell) = (given.clone(), tell.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let peer = Peer { stream, buffer: Vec::new(), tell: tell.clone() };
                    peer.serve(&given).await;
                    tell.send_modify(|s| s.ended += 1);
                });
            }
        });
        Upstream { address, scripts, state, accepting }
    }

    /// One script for all requests.
    pub async fn always(script: Script) -> Upstream {
        Upstream::start(vec![script]).await
    }

    /// Begins anew: other scripts, and nothing seen.
    pub fn reset(&self, list: Vec<Script>) {
        *self.scripts.lock().unwrap() = Scripts { list, next: 0 };
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.state.borrow().requests.clone()
    }

    pub fn count(&self) -> usize {
        self.state.borrow().requests.len()
    }

    pub fn connections(&self) -> usize {
        self.state.borrow().connections
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, so: impl FnMut(&State) -> bool) {
        let mut state = self.state.clone();
        soon(what, state.wait_for(so)).await.unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
    tell: Arc<watch::Sender<State>>,
}

impl Peer {
    async fn serve(mut self, scripts: &Mutex<Scripts>) {
        while let Some(index) = self.head().await {
            let script = scripts.lock().unwrap().take();
            if !script.early && !self.body(index).await {
                return;
            }
            for step in &script.steps {
                if !self.step(step, index).await {
                    return;
                }
            }
            if script.early && !self.body(index).await {
                return;
            }
        }
    }

    async fn step(&mut self, step: &Step, index: usize) -> bool {
        match step {
            Step::Send(bytes) => self.stream.write_all(bytes).await.is_ok(),
            Step::Fill(bytes) => self.generate(*bytes).await,
            Step::Pause(time) => {
                tokio::time::sleep(*time).await;
                true
            }
            Step::Body => self.body(index).await,
            Step::Close => {
                let _ = self.stream.shutdown().await;
                false
            }
            Step::Reset => {
                let _ = self.stream.set_zero_linger();
                false
            }
            Step::Stall => {
                while self.fill().await {}
                false
            }
            Step::Echo => loop {
                let bytes = std::mem::take(&mut self.buffer);
                if self.stream.write_all(&bytes).await.is_err() || !self.fill().await {
                    return false;
                }
            },
        }
    }

    async fn generate(&mut self, mut bytes: u64) -> bool {
        let block = vec![b'x'; 256 * 1024];
        while bytes > 0 {
            let now = bytes.min(block.len() as u64);
            if self.stream.write_all(&block[..now as usize]).await.is_err() {
                return false;
            }
            bytes -= now;
        }
        true
    }

    async fn fill(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn fields(&mut self) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(fields);
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// A request's head, recorded at its number.
    async fn head(&mut self) -> Option<usize> {
        let line = self.line().await?;
        let fields = self.fields().await?;
        let seen = Seen { line, fields, ..Seen::default() };
        let mut index = 0;
        self.tell.send_modify(|state| {
            index = state.requests.len();
            state.requests.push(seen);
        });
        Some(index)
    }

    /// The rest of the request. False: it never ended.
    async fn body(&mut self, index: usize) -> bool {
        let (length, chunked, whole) = {
            let state = self.tell.borrow();
            let seen = &state.requests[index];
            let length = seen.field("content-length").and_then(|l| l.parse::<u64>().ok());
            (length.unwrap_or(0), seen.field("transfer-encoding").is_some(), seen.whole)
        };
        if whole {
            return true;
        }
        let ended = if chunked { self.chunks(index).await } else { self.take(index, length).await };
        if let Some(trailers) = ended {
            self.tell.send_modify(|state| {
                let seen = &mut state.requests[index];
                (seen.trailers, seen.whole) = (trailers, true);
            });
            return true;
        }
        false
    }

    async fn chunks(&mut self, index: usize) -> Option<Vec<(String, String)>> {
        loop {
            let size = u64::from_str_radix(&self.line().await?, 16).ok()?;
            if size == 0 {
                return self.fields().await;
            }
            self.take(index, size).await?;
            self.line().await?;
        }
    }

    async fn take(&mut self, index: usize, mut length: u64) -> Option<Vec<(String, String)>> {
        loop {
            let now = length.min(self.buffer.len() as u64) as usize;
            let bytes: Vec<u8> = self.buffer.drain(..now).collect();
            length -= now as u64;
            self.tell.send_modify(|state| {
                let seen = &mut state.requests[index];
                seen.length += now as u64;
                let kept = now.min(KEPT.saturating_sub(seen.body.len()));
                seen.body.extend_from_slice(&bytes[..kept]);
            });
            if length == 0 {
                return Some(Vec::new());
            }
            if !self.fill().await {
                return None;
            }
        }
    }
}
