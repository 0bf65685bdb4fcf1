//! The admin interface: metrics, probes, status, reload and drain, in HTTP/1 with heads as the codec
//! reads them.

pub(crate) mod client;

use std::future::poll_fn;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use pilotlight_config::manifest::Address;
use pilotlight_filter::{Method, RequestHead};
use serde_json::json;
use socket2::{Domain, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::admission::Figures;
use crate::apps::{App, STATES};
use crate::clock::{self, Clock};
use crate::codec::h1::head::{self, Bounds};
use crate::codec::h1::write;
use crate::control::Control;
use crate::listener;
use crate::metrics::text::Process;
use crate::park::{Canned, Held, Kind, Woken};
use crate::upstream::Stand;

/// What the admin interface asks of the control loop.
pub(crate) enum Ask {
    Reload(oneshot::Sender<Result<String, String>>),
    Drain,
}

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// The life of one.
const CONNECTION: Duration = Duration::from_secs(60);
/// Of a request's head.
const BOUNDS: Bounds = Bounds { bytes: 16 * 1024, fields: 100, uri: 8 * 1024 };

#[derive(Clone)]
struct Desk {
    control: Arc<Control>,
    clock: Clock,
    asks: mpsc::Sender<Ask>,
    room: Arc<Semaphore>,
    /// Requests that are being answered.
    busy: Arc<AtomicUsize>,
}

/// The open interface; closed when dropped.
pub(crate) struct Opened {
    accepting: JoinHandle<()>,
    desk: Desk,
    socket: Socket,
    key: String,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Opened {
    /// Whether nobody waits for an answer. Connections that only stay open are in nobody's way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.desk.busy.load(Ordering::Acquire) == 0
    }

    /// Serves a connection that was accepted elsewhere.
    ///
    /// # Errors
    /// When it is none any more.
    pub(crate) fn take(&self, socket: Socket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let desk = self.desk.clone();
        match socket.domain()? {
            Domain::UNIX => desk.take(UnixStream::from_std(socket.into())?),
            _ => desk.take(TcpStream::from_std(socket.into())?),
        }
        Ok(())
    }

    /// What can be said of a gateway that sleeps, without waking it.
    pub(crate) fn canned(&self) -> Vec<Canned> {
        let said = |path: &str, well, answer: Answer| {
            let bytes = self.desk.written(&answer, false, false);
            Canned { kind: Kind::Admin, well, path: path.to_owned(), bytes }
        };
        let mut status = self.desk.status();
        status["state"] = "asleep".into();
        vec![
            said("/livez", false, text(200, "ok\n")),
            said("/readyz", true, text(200, "ok\n")),
            said("/status", false, json_text(200, &status)),
            said("/metrics", false, self.desk.metrics(&RequestHead::default())),
        ]
    }

    /// The socket as it stays open.
    pub(crate) fn held(&self) -> Option<Held> {
        let (socket, key) = (self.socket.try_clone().ok()?, self.key.clone());
        Some(Held { socket, kind: Kind::Admin, plain: true, worker: 0, key })
    }
}

/// Opens the interface, or finds its socket where the gateway was asleep.
///
/// # Errors
/// A sentence for people when the address can't be listened on.
pub(crate) fn open(
    address: &Address,
    control: Arc<Control>,
    clock: Clock,
    asks: mpsc::Sender<Ask>,
    woken: Option<&Woken>,
) -> Result<Opened, String> {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let desk = Desk { control, clock, asks, room, busy: Arc::default() };
    let failed = |error: io::Error| format!("admin: cannot listen on {address:?}: {error}");
    let key = listener::name(address);
    let found = woken.and_then(|woken| woken.socket(&key, Kind::Admin, 0));
    let socket = found.map_or_else(|| bind(address), Ok).map_err(failed)?;
    let accepting = desk.clone().accept(socket.try_clone().map_err(failed)?).map_err(failed)?;
    Ok(Opened { accepting, desk, socket, key })
}

fn bind(address: &Address) -> io::Result<Socket> {
    let socket: Socket = match address {
        Address::Tcp(address) => std::net::TcpListener::bind(address)?.into(),
        Address::Unix(path) => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            if std::os::unix::net::UnixStream::connect(path).is_err() {
                drop(std::fs::remove_file(path));
            }
            let listener = std::os::unix::net::UnixListener::bind(path)?;
            // Whoever may write to it may reload and drain.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            listener.into()
        }
        Address::Inherited(_) => return Err(io::ErrorKind::Unsupported.into()),
    };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// After an accept that failed: usually there are no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

impl Desk {
    fn accept(self, socket: Socket) -> io::Result<JoinHandle<()>> {
        Ok(match socket.domain()? {
            Domain::UNIX => {
                let listener = UnixListener::from_std(socket.into())?;
                tokio::spawn(self.take_all(move |cx| listener.poll_accept(cx)))
            }
            _ => {
                let listener = TcpListener::from_std(socket.into())?;
                tokio::spawn(self.take_all(move |cx| listener.poll_accept(cx)))
            }
        })
    }

    async fn take_all<S, A>(
        self,
        mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(S, A)>>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        loop {
            match poll_fn(&mut accept).await {
                Ok((stream, _)) => self.clone().take(stream),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn take(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Ok(place) = self.room.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _place = place;
            drop(tokio::time::timeout(CONNECTION, self.serve(stream)).await);
        });
    }

    /// Answers requests until the client has no more of them, or sends what is none.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut read = Vec::new();
        let mut more = true;
        // Whoever has just connected is about to ask.
        let mut fresh = Some(Busy::new(&self.busy));
        while more {
            let end = loop {
                match head::find_end(&read, 0) {
                    Some(end) => break end,
                    None if read.len() > BOUNDS.bytes => return Ok(()),
                    None if stream.read_buf(&mut read).await? == 0 => return Ok(()),
                    None => {}
                }
            };
            let _busy = fresh.take().unwrap_or_else(|| Busy::new(&self.busy));
            let behind = read.split_off(end);
            let mut request = RequestHead::default();
            drop(request.fields.adopt(std::mem::replace(&mut read, behind)));
            let answer = match head::request(&mut request, BOUNDS) {
                Ok(framing) => {
                    // Nobody reads a body here.
                    let bodiless = !framing.chunked && framing.length.unwrap_or(0) == 0;
                    more = bodiless && !framing.close && request.version.text() == "1.1";
                    self.answer(&request).await
                }
                Err(bad) => {
                    more = false;
                    respond(bad.status, TEXT, format!("{}\n", bad.detail))
                }
            };
            let is_head = request.method() == Method::Head;
            stream.write_all(&self.written(&answer, is_head, more)).await?;
        }
        stream.shutdown().await
    }

    /// An answer as it goes out; one to HEAD goes without its body.
    fn written(&self, answer: &Answer, is_head: bool, more: bool) -> Vec<u8> {
        let Answer { status, kind, allow, body } = answer;
        let reason = write::reason(*status);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + self.clock.wall());
        let length = body.len();
        let mut text = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\ndate: {date}\r\n"
        );
        if let Some(methods) = allow {
            text.push_str(&format!("allow: {methods}\r\n"));
        }
        text.push_str(if more { "\r\n" } else { "connection: close\r\n\r\n" });
        text.push_str(if is_head { "" } else { body });
        text.into_bytes()
    }

    async fn answer(&self, request: &RequestHead) -> Answer {
        let method = match request.method() {
            Method::Head => Method::Get,
            method => method,
        };
        let path = std::str::from_utf8(request.path()).unwrap_or_default();
        match (method, path) {
            (Method::Get, "/livez") => text(200, "ok\n"),
            (Method::Get, "/readyz") => match self.control.is_draining() {
                true => text(503, "draining\n"),
                false => text(200, "ok\n"),
            },
            (Method::Get, "/metrics") => self.metrics(request),
            (Method::Get, "/status") => json_text(200, &self.status()),
            (Method::Post, "/reload") => self.reload().await,
            (Method::Post, "/drain") => {
                drop(self.asks.send(Ask::Drain).await);
                json_text(202, &json!({ "result": "draining" }))
            }
            (_, "/livez" | "/readyz" | "/metrics" | "/status") => not_allowed("GET, HEAD"),
            (_, "/reload" | "/drain") => not_allowed("POST"),
            _ => text(404, "not found\n"),
        }
    }

    fn metrics(&self, request: &RequestHead) -> Answer {
        let accept = String::from_utf8_lossy(request.fields.get(b"accept").unwrap_or_default());
        let open = accept.contains("application/openmetrics-text");
        let serving = self.control.generation();
        let (upstreams, gates) = (serving.upstreams.iter(), serving.gates.iter());
        let process = Process {
            resident_bytes: resident(),
            uptime_seconds: self.clock.elapsed().as_secs_f64(),
            generation: serving.number,
            upstreams: upstreams.map(|u| (u.meant.name.clone(), u.breaker.clone())).collect(),
            gates: gates.map(|(at, gate)| (at, gate.name.clone(), gate.figures())).collect(),
            pressure: self.control.pressure.level(),
            cpu_seconds: clock::cpu().as_secs_f64(),
            workers: self.control.workers.load(Ordering::Relaxed),
            apps: serving.apps().cloned().collect(),
            limiters: serving.limiters.clone(),
            ledgers: serving.ledgers.clone(),
            endpoints: self.endpoints(),
        };
        let page = self.control.metrics.text(&process, open);
        let kind = match open {
            true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            false => "text/plain; version=0.0.4; charset=utf-8",
        };
        respond(200, kind, page)
    }

    /// Those that come and go, by their upstreams.
    fn endpoints(&self) -> Vec<(Arc<str>, Vec<Stand>)> {
        let (generation, now) = (self.control.generation(), self.control.now());
        let all = generation
            .upstreams
            .iter()
            .filter_map(|shared| Some((shared.meant.name.clone(), shared.roster()?.stands(now))));
        all.collect()
    }

    fn status(&self) -> serde_json::Value {
        let generation = self.control.generation();
        let manifest = &generation.manifest;
        let listeners: Vec<_> = manifest
            .listeners
            .iter()
            .map(|l| json!({ "name": &*l.name, "http1": l.http1, "http2": l.http2, "http3": l.http3, "tls": l.tls.is_some() }))
            .collect();
        let gates = generation.gates.iter().map(|(at, gate)| {
            let Figures { limit, in_flight, waiting } = gate.figures();
            json!({ at.name(): &*gate.name, "limit": limit, "in_flight": in_flight, "waiting": waiting })
        });
        let gates: Vec<_> = gates.collect();
        let pressure = &self.control.pressure;
        let memory = (!gates.is_empty())
            .then(|| json!({ "pressure": pressure.level(), "limit_bytes": pressure.limit() }));
        let last = self.control.last_reload().map(|outcome| match outcome {
            Ok(detail) => json!({ "result": "ok", "detail": detail }),
            Err(detail) => json!({ "result": "failed", "detail": detail }),
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "state": if self.control.is_draining() { "draining" } else { "serving" },
            "manifest": manifest.file.display().to_string(),
            "generation": generation.number,
            "last_reload": last,
            "uptime_seconds": self.clock.elapsed().as_secs(),
            "resident_bytes": resident(),
            "workers": self.control.workers.load(Ordering::Relaxed),
            "trims": self.control.metrics.trims.load(Ordering::Relaxed),
            "sleeps": self.control.metrics.sleeps.load(Ordering::Relaxed),
            "listeners": listeners,
            "routes": manifest.routes.iter().map(|r| &*r.name).collect::<Vec<_>>(),
            "filters": manifest.filters.iter().map(|f| &*f.name).collect::<Vec<_>>(),
            "upstreams": manifest.upstreams.iter().map(|u| &*u.name).collect::<Vec<_>>(),
            "admission": gates,
            "memory": memory,
            "endpoints": self.endpoints().iter().flat_map(endpoints).collect::<Vec<_>>(),
            "applications": generation.apps().map(|app| application(app)).collect::<Vec<_>>(),
        })
    }

    async fn reload(&self) -> Answer {
        if self.control.is_draining() {
            return json_text(503, &json!({ "result": "failed", "detail": "draining" }));
        }
        let (answer, outcome) = oneshot::channel();
        if self.asks.send(Ask::Reload(answer)).await.is_err() {
            return json_text(503, &json!({ "result": "failed", "detail": "stopping" }));
        }
        match outcome.await {
            Ok(Ok(detail)) => json_text(200, &json!({ "result": "ok", "detail": detail })),
            Ok(Err(detail)) => json_text(422, &json!({ "result": "failed", "detail": detail })),
            Err(_) => json_text(503, &json!({ "result": "failed", "detail": "stopping" })),
        }
    }
}

/// An upstream's endpoints, as the status shows them.
fn endpoints((upstream, stands): &(Arc<str>, Vec<Stand>)) -> Vec<serde_json::Value> {
    let shown = |stand: &Stand| {
        let state = stand.state();
        json!({
            "upstream": &**upstream,
            "endpoint": stand.member.address,
            "state": state,
            "reason": Some(&stand.why).filter(|_| state != "up"),
            "returns_seconds": stand.ejected.map(|left| left as f64 / 1000.0),
        })
    };
    stands.iter().map(shown).collect()
}

/// An application, as the status shows it.
fn application(app: &App) -> serde_json::Value {
    let facts = app.facts();
    let count = |of: usize| facts.instances[of];
    let state = match facts.instances {
        _ if facts.rests.is_some() => "resting",
        [_, ready, ..] if ready > 0 => "awake",
        [0, ..] => "asleep",
        _ => "starting",
    };
    let mut shown = json!({
        "upstream": &*app.name,
        "state": state,
        "desired": facts.desired,
        "reason": facts.reason.name(),
        "in_flight": facts.in_flight,
        "waiting": facts.waiting,
        "retry_seconds": facts.rests,
    });
    for (at, name) in STATES.iter().enumerate() {
        shown["instances"][name] = count(at).into();
    }
    shown
}

/// Counts a request that is being answered.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(count: &Arc<AtomicUsize>) -> Busy {
        count.fetch_add(1, Ordering::AcqRel);
        Busy(count.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What the interface says.
struct Answer {
    status: u16,
    kind: &'static str,
    allow: Option<&'static str>,
    body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";

fn text(status: u16, body: &str) -> Answer {
    respond(status, TEXT, body.to_owned())
}

fn not_allowed(methods: &'static str) -> Answer {
    Answer { allow: Some(methods), ..text(405, "method not allowed\n") }
}

fn json_text(status: u16, value: &serde_json::Value) -> Answer {
    respond(status, "application/json", format!("{value}\n"))
}

fn respond(status: u16, kind: &'static str, body: String) -> Answer {
    Answer { status, kind, allow: None, body }
}

/// Resident bytes, as the kernel counts them; 0 where it does not tell.
fn resident() -> u64 {
    let facts = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = facts.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * u64::try_from(page).unwrap_or(4096)
}
