//! Figures: each worker counts in a shard of its own, a scrape adds the shards up.

pub(crate) mod apps;
mod endpoints;
mod histogram;
mod kept;
mod limits;
pub(crate) mod own;
pub(crate) mod text;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use pilotlight_abi::Phase;
use pilotlight_config::manifest::Manifest;
use pilotlight_core::admission::Why;
use pilotlight_filter::{Exchange, FaultKind, Version};

use self::apps::Counts;
pub(crate) use self::histogram::PLACES;
use self::histogram::{Histogram, Histograms, Scale};
use self::own::Own;
use crate::admission::At;
use crate::drive::Figures;
use crate::relay::Moved;

/// All shards, and the names behind their numbers.
pub(crate) struct Registry {
    shards: Mutex<Vec<Arc<Shard>>>,
    names: Mutex<Names>,
    /// What programs count.
    pub(crate) own: Own,
    pub(crate) apps: Counts,
    pub(crate) reloads_ok: AtomicU64,
    pub(crate) reloads_failed: AtomicU64,
    pub(crate) upgrades_ok: AtomicU64,
    pub(crate) upgrades_failed: AtomicU64,
    pub(crate) trims: AtomicU64,
    pub(crate) sleeps: AtomicU64,
    wakes: Mutex<Wakes>,
    pub(crate) log_dropped: AtomicU64,
}

/// Names that metrics are labelled with. A name keeps its number over reloads.
#[derive(Default)]
struct Names {
    list: Vec<Arc<str>>,
}

/// Names past this share one number: a fleet that invents names for ever can't eat the memory.
const NAMES_MAX: usize = 16_384;

/// How often it woke from sleep and why, and how long that took.
#[derive(Default)]
struct Wakes {
    reasons: BTreeMap<&'static str, u64>,
    times: Histograms,
}

/// A generation's numbers, by the manifest's indexes.
#[derive(Default)]
pub(crate) struct Series {
    routes: Vec<u32>,
    filters: Vec<u32>,
    upstreams: Vec<u32>,
    listeners: Vec<u32>,
}

/// A worker's figures.
#[derive(Default)]
pub(crate) struct Shard {
    data: Mutex<Data>,
    connections: Mutex<HashMap<(u32, Protocol), Arc<AtomicI64>, RandomState>>,
    /// Bytes of connections without HTTP, by listener: from clients, to them.
    moved: Mutex<BTreeMap<u32, Moved>>,
    /// What the worker's engines tell, by name and label; refreshed by the worker.
    gauges: Mutex<Vec<(&'static str, String, u64)>>,
    /// Exchanges under way; only the worker writes it.
    open: AtomicUsize,
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    Http3,
    Tcp,
}

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Protocol::Http1 => "http1",
            Protocol::Http2 => "http2",
            Protocol::Http3 => "http3",
            Protocol::Tcp => "tcp",
        }
    }

    const fn of(version: Version) -> Protocol {
        match version {
            Version::Http10 | Version::Http11 => Protocol::Http1,
            Version::Http2 => Protocol::Http2,
            Version::Http3 => Protocol::Http3,
        }
    }
}

#[derive(Default, Clone)]
struct Data {
    requests: HashMap<(u32, u32, Protocol, u16), u64, RandomState>,
    durations: Histograms,
    upstreams: Histograms,
    /// A row of phases for each filter.
    filters: Histograms,
    faults: HashMap<(u32, &'static str), u64, RandomState>,
    /// Connections without HTTP that have ended, by listener, upstream and error.
    flows: BTreeMap<(u32, u32, Cow<'static, str>), u64>,
    /// Exchanges that a gate sent away, by where it stands, its name and why.
    sheds: BTreeMap<(At, u32, &'static str), u64>,
}

impl Registry {
    pub(crate) fn new() -> Registry {
        let names = Names { list: vec![Arc::from("")] };
        Registry {
            shards: Mutex::default(),
            names: Mutex::new(names),
            own: Own::default(),
            apps: Counts::default(),
            reloads_ok: AtomicU64::new(0),
            reloads_failed: AtomicU64::new(0),
            upgrades_ok: AtomicU64::new(0),
            upgrades_failed: AtomicU64::new(0),
            trims: AtomicU64::new(0),
            sleeps: AtomicU64::new(0),
            wakes: Mutex::default(),
            log_dropped: AtomicU64::new(0),
        }
    }

    /// The shard of a worker; the same one each time it is asked for.
    pub(crate) fn shard(&self, worker: usize) -> Arc<Shard> {
        let mut shards = lock(&self.shards);
        while shards.len() <= worker {
            shards.push(Arc::default());
        }
        shards[worker].clone()
    }

    /// Numbers for all names of a manifest.
    pub(crate) fn series(&self, manifest: &Manifest) -> Series {
        let mut names = lock(&self.names);
        Series {
            routes: names.numbers(manifest.routes.iter().map(|r| &r.name)),
            filters: names.numbers(manifest.filters.iter().map(|f| &f.name)),
            upstreams: names.numbers(manifest.upstreams.iter().map(|u| &u.name)),
            listeners: names.numbers(manifest.listeners.iter().map(|l| &l.name)),
        }
    }

    /// It has woken from sleep.
    pub(crate) fn woke(&self, reason: &'static str, took: Duration) {
        let mut wakes = lock(&self.wakes);
        *wakes.reasons.entry(reason).or_default() += 1;
        wakes.times.at(0, 0, Scale::Coarse).add(took.as_secs_f64());
    }

    /// Exchanges under way.
    pub(crate) fn in_flight(&self) -> usize {
        lock(&self.shards).iter().map(|shard| shard.open()).sum()
    }

    /// How long exchanges of a route took, or those at an upstream; without a name, all of them: counts by
    /// size, with the bounds of these.
    #[cold]
    pub(crate) fn durations(&self, at: At, name: &str) -> (&'static [f64], [u64; PLACES]) {
        let number = lock(&self.names).list.iter().position(|known| **known == *name);
        let mut sum = Histogram::new(Scale::Coarse);
        for shard in lock(&self.shards).iter() {
            let data = lock(&shard.data);
            let all = match at {
                At::Route => &data.durations,
                At::Upstream => &data.upstreams,
            };
            let such = all.iter().filter(|(of, _)| name.is_empty() || Some(*of) == number);
            such.for_each(|(_, histogram)| sum.merge(histogram.counts(), histogram.sum));
        }
        (sum.scale.bounds(), sum.counts())
    }

    fn name(&self, number: u32) -> Arc<str> {
        lock(&self.names).list.get(number as usize).cloned().unwrap_or_default()
    }
}

impl Names {
    /// The numbers of these. They are found by a table for the while: one that stays would be larger than
    /// what it finds.
    fn numbers<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) -> Vec<u32> {
        let list = self.list.iter().cloned();
        let mut known: HashMap<Arc<str>, u32, RandomState> = list.zip(0..).collect();
        let number = |name: &Arc<str>| {
            if let Some(number) = known.get(name) {
                return *number;
            }
            if self.list.len() >= NAMES_MAX {
                return 0;
            }
            let number = self.list.len() as u32;
            self.list.push(name.clone());
            known.insert(name.clone(), number);
            number
        };
        names.into_iter().map(number).collect()
    }
}

impl Shard {
    /// Exchanges under way.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// One begins. Not added in one go: nobody else writes.
    #[inline]
    pub(crate) fn began(&self) {
        self.open.store(self.open() + 1, Ordering::Relaxed);
    }

    /// One is over.
    #[inline]
    pub(crate) fn ended(&self) {
        self.open.store(self.open() - 1, Ordering::Relaxed);
    }

    /// An exchange has ended.
    pub(crate) fn exchange(&self, series: &Series, figures: &Figures, exchange: &Exchange) {
        let route = figures.route.and_then(|r| series.routes.get(r)).copied().unwrap_or(0);
        let listener = series.listeners.get(figures.listener).copied().unwrap_or(0);
        let protocol = Protocol::of(exchange.request.head.version);
        let mut data = lock(&self.data);
        let status = exchange.response.head.status;
        *data.requests.entry((listener, route, protocol, status)).or_default() += 1;
        data.durations.at(route as usize, 0, Scale::Coarse).add(exchange.stats.duration);
        if exchange.stats.upstream > 0.0
            && let Some(upstream) = figures.upstream.and_then(|u| series.upstreams.get(u))
        {
            data.upstreams.at(*upstream as usize, 0, Scale::Coarse).add(exchange.stats.upstream);
        }
    }

    /// A request was refused before it became an exchange.
    pub(crate) fn refused(&self, series: &Series, listener: usize, status: u16) {
        let listener = series.listeners.get(listener).copied().unwrap_or(0);
        *lock(&self.data).requests.entry((listener, 0, Protocol::Http1, status)).or_default() += 1;
    }

    /// A filter ran.
    pub(crate) fn filter(&self, series: &Series, filter: usize, phase: Phase, took: Duration) {
        let filter = series.filters.get(filter).copied().unwrap_or(0);
        let mut data = lock(&self.data);
        data.filters.at(filter as usize, phase as u8, Scale::Fine).add(took.as_secs_f64());
    }

    /// A filter failed.
    pub(crate) fn fault(&self, series: &Series, filter: usize, kind: FaultKind) {
        let filter = series.filters.get(filter).copied().unwrap_or(0);
        *lock(&self.data).faults.entry((filter, kind.name())).or_default() += 1;
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection(
        &self,
        series: &Series,
        listener: usize,
        protocol: Protocol,
    ) -> Connected {
        let listener = series.listeners.get(listener).copied().unwrap_or(0);
        let gauge = lock(&self.connections).entry((listener, protocol)).or_default().clone();
        gauge.fetch_add(1, Ordering::Relaxed);
        Connected(gauge)
    }

    /// Where the bytes of a listener's connections are counted.
    #[cold]
    pub(crate) fn moved(&self, series: &Series, listener: usize) -> Moved {
        let listener = series.listeners.get(listener).copied().unwrap_or(0);
        lock(&self.moved).entry(listener).or_default().clone()
    }

    /// A connection without HTTP has ended.
    #[cold]
    pub(crate) fn flow(
        &self,
        series: &Series,
        listener: usize,
        upstream: usize,
        error: Option<&'static str>,
    ) {
        let listener = series.listeners.get(listener).copied().unwrap_or(0);
        let upstream = series.upstreams.get(upstream).copied().unwrap_or(0);
        let key = (listener, upstream, error.unwrap_or_default().into());
        *lock(&self.data).flows.entry(key).or_default() += 1;
    }

    /// A gate before a route or an upstream has sent an exchange away.
    #[cold]
    pub(crate) fn shed(&self, series: &Series, at: At, index: Option<usize>, why: Why) {
        let names = match at {
            At::Route => &series.routes,
            At::Upstream => &series.upstreams,
        };
        let name = index.and_then(|index| names.get(index)).copied().unwrap_or(0);
        *lock(&self.data).sheds.entry((at, name, why.name())).or_default() += 1;
    }

    /// The worker's engines tell this.
    pub(crate) fn set_gauges(&self, gauges: Vec<(&'static str, String, u64)>) {
        *lock(&self.gauges) = gauges;
    }
}

/// Counts a connection as open.
pub(crate) struct Connected(Arc<AtomicI64>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A poisoned lock holds figures: still good enough to count on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
