//! What host calls see and change.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::types::{LogLevel, MetricType};

use super::message::Response;

pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// The maps of the ABI, by their numbers.
pub(super) const REQUEST_HEADERS: usize = 0;
pub(super) const REQUEST_TRAILERS: usize = 1;
pub(super) const RESPONSE_HEADERS: usize = 2;
pub(super) const RESPONSE_TRAILERS: usize = 3;
const CALL_HEADERS: usize = 6;
const CALL_TRAILERS: usize = 7;

/// The buffers of the ABI, by their numbers.
pub(super) const REQUEST_BODY: usize = 0;
pub(super) const RESPONSE_BODY: usize = 1;
const CALL_BODY: usize = 4;
const PLUGIN_CONFIGURATION: usize = 7;

/// Tests begin on 2026-01-01.
const BEGIN: Duration = Duration::from_secs(1_767_225_600);

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Root,
    Stream,
}

/// A request of the filter's to an upstream.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) token: u32,
    pub(super) owner: Owner,
    /// The upstream's name, as the filter gave it.
    pub upstream: String,
    /// With the pseudo-headers.
    pub headers: super::Headers,
    /// The body.
    pub body: Vec<u8>,
    /// How long the filter would wait.
    pub timeout: Duration,
}

pub(super) struct Metric {
    pub(super) name: String,
    pub(super) kind: MetricType,
    pub(super) value: u64,
}

/// An answer of the filter's own.
pub(super) struct Reply {
    pub(super) status: u32,
    pub(super) headers: Fields,
    pub(super) body: Vec<u8>,
}

pub(super) struct World {
    pub(super) owner: Owner,
    pub(super) maps: [Fields; 8],
    pub(super) buffers: [Vec<u8>; 9],
    pub(super) properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Values with their versions.
    pub(super) shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    pub(super) queues: Vec<(Vec<u8>, VecDeque<Vec<u8>>)>,
    pub(super) metrics: Vec<Metric>,
    pub(super) logs: Vec<(LogLevel, String)>,
    pub(super) calls: VecDeque<Call>,
    /// What was continued: the request, the response.
    pub(super) continued: [bool; 2],
    pub(super) reply: Option<Reply>,
    pub(super) closed: bool,
    pub(super) now: Duration,
    /// Since when ticks come, and how often.
    pub(super) ticks: Option<(Duration, Duration)>,
}

impl World {
    pub(super) fn new(config: &str) -> World {
        let mut buffers: [Vec<u8>; 9] = Default::default();
        buffers[PLUGIN_CONFIGURATION] = config.as_bytes().to_vec();
        World {
            owner: Owner::Root,
            maps: Default::default(),
            buffers,
            properties: BTreeMap::new(),
            shared: BTreeMap::new(),
            queues: Vec::new(),
            metrics: Vec::new(),
            logs: Vec::new(),
            calls: VecDeque::new(),
            continued: [false; 2],
            reply: None,
            closed: false,
            now: BEGIN,
            ticks: None,
        }
    }

    pub(super) fn next_tick(&self) -> Option<Duration> {
        let (since, period) = self.ticks?;
        let due = (self.now - since).as_nanos() / period.as_nanos() + 1;
        Some(since + period * u32::try_from(due).ok()?)
    }

    /// Shows an upstream's answer to the filter: numbers of headers, bytes and trailers.
    pub(super) fn answered(&mut self, answer: Option<&Response>) -> (usize, usize, usize) {
        let (headers, body, trailers) = match answer {
            Some(answer) => (&answer.headers[..], answer.chunks.concat(), &answer.trailers[..]),
            None => (&[][..], Vec::new(), &[][..]),
        };
        let counts = (headers.len(), body.len(), trailers.len());
        self.maps[CALL_HEADERS] = fields(headers);
        self.buffers[CALL_BODY] = body;
        self.maps[CALL_TRAILERS] = fields(trailers);
        counts
    }
}

pub(super) fn fields(headers: &[(String, String)]) -> Fields {
    headers.iter().map(|(name, value)| (name.clone().into(), value.clone().into())).collect()
}

thread_local! {
    /// The world that host calls of this thread are about.
    static STAGE: RefCell<Option<Rc<RefCell<World>>>> = const { RefCell::new(None) };
    /// The crate's dispatcher remembers tokens for as long as its thread lives.
    static TOKENS: Cell<u32> = const { Cell::new(0) };
}

pub(super) fn token() -> u32 {
    TOKENS.set(TOKENS.get() + 1);
    TOKENS.get()
}

/// While it lives, host calls are about its world.
pub(super) struct OnStage(Option<Rc<RefCell<World>>>);

impl OnStage {
    pub(super) fn enter(world: &Rc<RefCell<World>>, owner: Owner) -> OnStage {
        world.borrow_mut().owner = owner;
        OnStage(STAGE.replace(Some(Rc::clone(world))))
    }
}

impl Drop for OnStage {
    fn drop(&mut self) {
        STAGE.set(self.0.take());
    }
}

/// Works on the world on stage; `None` outside of a host.
pub(super) fn on_stage<R>(work: impl FnOnce(&mut World) -> R) -> Option<R> {
    let world = STAGE.with_borrow(Clone::clone)?;
    let result = work(&mut world.borrow_mut());
    Some(result)
}
