//! The stage: an engine whose filters are those of `cast`, a worker without listeners, and a client.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use pilotlight_abi::Phases;
use pilotlight_filter::host::{Module, Services};
use pilotlight_filter::{Engine, Filter, Library, LoadError, Plan, Realm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::cast::cast;
use crate::codec::h1;
use crate::codec::h1::differential::Rig;
use crate::stream::Stream;
use crate::worker::Inlet;

thread_local! {
    static TOLD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static CUES: RefCell<Vec<(&'static str, Rc<Notify>)>> = const { RefCell::new(Vec::new()) };
}

/// Notes something that happened.
pub(super) fn tell(what: impl Into<String>) {
    TOLD.with_borrow_mut(|told| told.push(what.into()));
}

/// All that was noted.
pub(super) fn told() -> Vec<String> {
    TOLD.with_borrow(Clone::clone)
}

fn cue(name: &'static str) -> Rc<Notify> {
    CUES.with_borrow_mut(|cues| {
        if let Some((_, cue)) = cues.iter().find(|(known, _)| *known == name) {
            return cue.clone();
        }
        cues.push((name, Rc::default()));
        cues[cues.len() - 1].1.clone()
    })
}

/// Lets one who waits for this cue go on, now or later.
pub(super) fn give(name: &'static str) {
    cue(name).notify_one();
}

/// A wait for a cue, as filters have it.
pub(super) struct Cue(pilotlight_filter::host::Wait<()>);

impl Cue {
    pub(super) fn new(name: &'static str) -> Cue {
        let cue = cue(name);
        Cue(Box::pin(async move { cue.notified().await }))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// Who plays a part, in an exchange.
pub(super) type Player = fn(Rc<dyn Services>) -> Box<dyn Filter>;

/// A filter's part: when it acts, and who plays it.
pub(super) struct Part {
    pub(super) phases: Phases,
    pub(super) play: Player,
}

struct Troupe;
struct Loaded(Vec<Part>);
struct Open(Vec<Player>, Rc<dyn Services>);

impl Engine for Troupe {
    fn name(&self) -> &'static str {
        "lua"
    }

    fn load(&self, plan: &Plan) -> Result<Arc<dyn Library>, Vec<LoadError>> {
        Ok(Arc::new(Loaded(plan.filters.iter().map(|spec| cast(&spec.name)).collect())))
    }
}

impl Library for Loaded {
    fn phases(&self, index: usize) -> Phases {
        self.0[index].phases
    }

    fn open(&self, services: Rc<dyn Services>) -> Rc<dyn Realm> {
        Rc::new(Open(self.0.iter().map(|part| part.play).collect(), services))
    }
}

impl Realm for Open {
    fn start(&self, index: usize) -> Box<dyn Filter> {
        self.0[index](self.1.clone())
    }

    fn module(&self, _: &str) -> Option<Rc<dyn Module>> {
        None
    }

    fn trim(&self) {}

    fn gauges(&self, _: &mut dyn FnMut(&'static str, &str, u64)) {}
}

/// Plays a scene at a gateway with these routes. Each filter that they name has a part in `cast`.
pub(super) fn play<T>(routes: &str, scene: impl AsyncFnOnce(Client) -> T) -> T {
    backstage(routes, async |inlet| {
        let (near, far) = UnixStream::pair().unwrap();
        tokio::task::spawn_local(h1::serve(inlet, Stream::Unix(far)));
        scene(Client { stream: near, seen: String::new() }).await
    })
}

/// The same, without a client.
pub(super) fn backstage<T>(routes: &str, scene: impl AsyncFnOnce(Rc<Inlet>) -> T) -> T {
    let mut names: Vec<&str> = Vec::new();
    for list in routes.lines().filter_map(|line| line.strip_prefix("filters = [")) {
        names.extend(list.trim_end_matches(']').split(", ").map(|name| name.trim_matches('"')));
    }
    names.sort_unstable();
    names.dedup();
    let filters = names.iter().map(|name| format!("[filters.{name}]\nlua = \"{name}.lua\"\n"));
    let manifest = format!("{routes}\n{}", filters.collect::<String>());
    let rig = Rig::new(&manifest, vec![Arc::new(Troupe)]);
    let inlet = rig.inlet.clone();
    rig.run(async move {
        tokio::task::spawn_local(inlet.worker.timers.clone().sweep());
        scene(inlet).await
    })
}

/// The other end of a connection.
pub(super) struct Client {
    stream: UnixStream,
    /// Read, and not asked for yet.
    seen: String,
}

impl Client {
    /// Sends a request without a body.
    pub(super) async fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    }

    pub(super) async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads until `end` has come, and gives what came up to it.
    pub(super) async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(end) {
                let rest = self.seen.split_off(at + end.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let mut bytes = vec![0; 64 * 1024];
            let count = self.stream.read(&mut bytes).await.unwrap_or(0);
            assert!(count > 0, "no {end:?} in {:?}", self.seen);
            self.seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    }

    /// A head, without the date.
    pub(super) async fn head(&mut self) -> String {
        let head = self.until("\r\n\r\n").await;
        let lines = head.split("\r\n").filter(|line| !line.starts_with("Date: "));
        let lines = lines.filter(|line| !line.starts_with("date: ") && !line.is_empty());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Reads to the end of the connection.
    pub(super) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset ends it, too.
        let _ = self.stream.read_to_end(&mut bytes).await;
        std::mem::take(&mut self.seen) + std::str::from_utf8(&bytes).unwrap()
    }
}

/// Lets everybody else go on until `what` was noted.
pub(super) async fn until_told(what: &str) {
    while !told().iter().any(|told| told == what) {
        tokio::task::yield_now().await;
    }
}
