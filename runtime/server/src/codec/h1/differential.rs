//! What hyper makes of the same bytes: whatever we take, hyper takes for the same; where hyper goes on
//! and we do not, a row of a table says by which section of which RFC.
//!
//! Messages come from seeds, good ones and nearly good ones, several on a connection; both sides read them
//! from a socket, in two pieces.

pub(crate) mod messages;
mod requests;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use pilotlight_config::parse_str;
use pilotlight_filter::{BodyError, Engine, Fields, Frame, Peer};
use proptest::test_runner::{Config, RngSeed};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::body::allowed_in_trailers;
use crate::clock::Clock;
use crate::control::Control;
use crate::load::Loader;
use crate::log::Log;
use crate::metrics::Registry;
use crate::worker::{Inlet, Worker};

/// Names in lower case, and values, by name; the order of values of one name is kept.
pub(crate) type List = Vec<(String, Vec<u8>)>;

/// Why we stop where hyper goes on: our words, and who says so. Every row must be met.
#[derive(Clone, Copy)]
pub(crate) struct Table(pub(crate) &'static [(&'static str, &'static str)]);

/// Rows that were needed.
pub(crate) type Met = RefCell<BTreeSet<&'static str>>;

impl Table {
    pub(crate) fn excuse(self, why: &str, met: &Met) -> Result<(), String> {
        let row = self.0.iter().find(|row| row.0 == why);
        let row = row.ok_or_else(|| format!("{why:?} is no reason to refuse it"))?;
        met.borrow_mut().insert(row.0);
        Ok(())
    }

    pub(crate) fn is_met(self, met: &Met) {
        let unmet: Vec<_> = self.0.iter().filter(|row| !met.borrow().contains(row.0)).collect();
        assert!(unmet.is_empty(), "no message needs {unmet:?}");
    }
}

/// So many messages, the same ones each time.
pub(crate) fn config(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() }
}

pub(crate) fn fields(list: &Fields) -> List {
    sorted(list.iter().map(|(_, name, value)| (name, value)))
}

pub(crate) fn sorted<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> List {
    let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    let mut list: List = pairs.map(|(name, value)| (lower(name), value.to_vec())).collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    list
}

/// Hyper's fields, without what ends at this hop.
pub(crate) fn forwarded(map: &http::HeaderMap) -> Fields {
    let mut list = Fields::default();
    for (name, value) in map {
        list.push_checked(name.as_str().as_bytes(), value.as_bytes());
    }
    crate::forward::strip_hop_by_hop(&mut list);
    list
}

/// A body as it came: bytes, trailers that may be passed on, and how it ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: List,
    pub(crate) whole: bool,
    /// Why it is not whole, in our words.
    pub(crate) error: String,
}

impl Taken {
    /// Adds a frame of ours; false at the end.
    pub(crate) fn add(&mut self, frame: Option<Result<Frame, BodyError>>) -> bool {
        match frame {
            Some(Ok(Frame::Data(data))) => self.bytes.extend_from_slice(&data),
            Some(Ok(Frame::Trailers(list))) => self.trailers = fields(&list),
            Some(Err(error)) => {
                self.error = error.to_string();
                return false;
            }
            None => {
                self.whole = true;
                return false;
            }
        }
        true
    }

    /// What hyper took differently; rows of `stricter` that it takes are noted in `met`.
    pub(crate) fn compare(&self, theirs: &Taken, stricter: Table, met: &Met) -> Result<(), String> {
        let same = self.bytes == theirs.bytes && self.trailers == theirs.trailers;
        let prefix = self.bytes.starts_with(&theirs.bytes) || theirs.bytes.starts_with(&self.bytes);
        match (self.whole, theirs.whole) {
            (true, true) if same => Ok(()),
            (false, false) if prefix => Ok(()),
            (false, true) if prefix => stricter.excuse(&self.error, met),
            _ => Err("not the same body".into()),
        }
    }

    /// Reads a body of hyper's; cancelled, what came so far stays here.
    pub(crate) async fn read(&mut self, body: &mut hyper::body::Incoming) {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return };
            match frame.into_data() {
                Ok(data) => self.bytes.extend_from_slice(&data),
                Err(frame) => {
                    let map = frame.into_trailers().unwrap_or_default();
                    let mut list = Fields::default();
                    for (name, value) in &map {
                        list.push_checked(name.as_str().as_bytes(), value.as_bytes());
                    }
                    list.retain(|id, name, _| allowed_in_trailers(id, name));
                    self.trailers = fields(&list);
                }
            }
        }
        self.whole = true;
    }
}

/// Writes the bytes in two pieces; what the peer refuses to read it need not read.
pub(crate) async fn write(to: &mut UnixStream, bytes: &[u8], cut: usize) {
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    let _ = to.write_all(first).await;
    turns(4).await;
    let _ = to.write_all(second).await;
}

/// Lets everybody else run for a while.
pub(crate) async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// A worker without sockets, on a loop of this thread.
pub(crate) struct Rig {
    runtime: tokio::runtime::Runtime,
    local: tokio::task::LocalSet,
    pub(crate) inlet: Rc<Inlet>,
    _serving: watch::Sender<bool>,
}

impl Rig {
    /// With what stands below a manifest's listener.
    pub(crate) fn new(manifest: &str, engines: Vec<Arc<dyn Engine>>) -> Rig {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = format!(
            "[log]\naccess = \"off\"\n[[listeners]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n{manifest}"
        );
        let (clock, metrics) = (Clock::new(), Arc::new(Registry::new()));
        let loader = Loader { engines, clock, metrics: metrics.clone(), desk: Default::default() };
        let loaded = parse_str(&text, Path::new("/edge"))
            .and_then(|l| loader.load(l, None, &|_| Vec::new()));
        let (generation, _) = loaded.unwrap_or_else(|report| panic!("{}", report.render(false)));
        let log = Arc::new(Log::new(&generation.manifest.log, clock, metrics.clone()));
        let listener = generation.listeners[0].clone();
        let (serving, draining) = watch::channel(false);
        let control = Arc::new(Control::new(Arc::new(generation), log, metrics, clock, || {}));
        let worker = Worker::new(0, clock, control, draining);
        let peer = Rc::new(Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1, "a"));
        let inlet = Rc::new(Inlet { worker, listener, peer });
        Rig { runtime, local: tokio::task::LocalSet::new(), inlet, _serving: serving }
    }

    /// Runs to the end; only a hang meets the limit.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(Duration::from_secs(20), future).await };
        self.runtime.block_on(self.local.run_until(limited)).expect("it hangs")
    }
}
