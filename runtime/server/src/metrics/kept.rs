//! Counters that outlive sleep: whoever scrapes them must not see them begin anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pilotlight_abi::Phase;
use pilotlight_core::admission::Why;
use pilotlight_filter::FaultKind;
use pilotlight_filter::host::{MetricKind, NewMetric};

use super::histogram::{Histogram, Histograms, Scale};
use super::own::{Labels, Series};
use super::{Data, Protocol, Registry, Shard, lock};
use crate::admission::At;
use crate::park::state::{Reader, Writer};

const PROTOCOLS: [Protocol; 4] = [Protocol::Http1, Protocol::Http2, Protocol::Http3, Protocol::Tcp];

impl Registry {
    fn plain(&self) -> [&AtomicU64; 7] {
        [
            &self.reloads_ok,
            &self.reloads_failed,
            &self.upgrades_ok,
            &self.upgrades_failed,
            &self.trims,
            &self.sleeps,
            &self.log_dropped,
        ]
    }

    /// Writes all counters down.
    #[cold]
    pub(crate) fn keep(&self, to: &mut Writer) {
        self.plain().iter().for_each(|count| to.number(count.load(Ordering::Relaxed)));
        let wakes = lock(&self.wakes);
        to.number(wakes.reasons.len() as u64);
        for (reason, count) in &wakes.reasons {
            to.bytes(reason.as_bytes());
            to.number(*count);
        }
        keep_all(&wakes.times, 1, to);
        self.apps.keep(to);
        let names = lock(&self.names);
        to.number(names.list.len() as u64);
        names.list.iter().for_each(|name| to.bytes(name.as_bytes()));
        let shards = lock(&self.shards);
        to.number(shards.len() as u64);
        shards.iter().for_each(|shard| shard.keep(to));
        self.own.each(|name, family| {
            for (labels, series) in &family.series {
                to.bytes(name.as_bytes());
                to.number(labels.len() as u64);
                for (label, value) in labels {
                    to.bytes(label.as_bytes());
                    to.bytes(value.as_bytes());
                }
                keep_series(series, to);
            }
        });
    }

    /// Takes them back, before anything is counted.
    #[cold]
    pub(crate) fn take_back(&self, from: &mut Reader<'_>) -> Option<()> {
        for count in self.plain() {
            count.store(from.number()?, Ordering::Relaxed);
        }
        for _ in 0..from.number()? {
            let reason = crate::park::reason(from.text()?);
            let count = from.number()?;
            if let Some(reason) = reason {
                lock(&self.wakes).reasons.insert(reason, count);
            }
        }
        read_all(&mut lock(&self.wakes).times, 1, |place| place, from)?;
        self.apps.take_back(from)?;
        // Names had other numbers then.
        let mut names = Vec::<Arc<str>>::new();
        for _ in 0..from.number()? {
            names.push(from.text()?.into());
        }
        let numbers = lock(&self.names).numbers(&names);
        let number = |old: u64| numbers.get(old as usize).copied().unwrap_or(0);
        // A figure is the sum over all workers: the first one takes all.
        let shard = self.shard(0);
        for _ in 0..from.number()? {
            shard.take_back(number, from)?;
        }
        while !from.0.is_empty() {
            let name = from.text()?;
            let mut labels = Labels::new();
            for _ in 0..from.number()? {
                labels.push((from.text()?.to_owned(), from.text()?.to_owned()));
            }
            self.read_series(name, &labels, from)?;
        }
        Some(())
    }

    fn read_series(&self, name: &str, labels: &Labels, from: &mut Reader<'_>) -> Option<()> {
        let kind = match from.number()? {
            0 => MetricKind::Counter,
            1 => MetricKind::Gauge,
            _ => MetricKind::Histogram,
        };
        let (mut bounds, mut counts) = (Vec::new(), Vec::new());
        let mut value = 0.0;
        if kind == MetricKind::Histogram {
            for _ in 0..from.number()? {
                bounds.push(from.float()?);
            }
            for _ in 0..=bounds.len() {
                counts.push(from.number()?);
            }
        }
        value += from.float()?;
        let new = NewMetric { kind, name, labels, bounds: &bounds };
        // What has no room any more is not there.
        let _ = self.own.revive(&new, value, counts);
        Some(())
    }
}

fn keep_series(series: &Series, to: &mut Writer) {
    match series {
        Series::Counter(_) => to.number(0),
        Series::Gauge(_) => to.number(1),
        Series::Buckets(buckets) => {
            let buckets = lock(buckets);
            to.number(2);
            to.number(buckets.bounds.len() as u64);
            buckets.bounds.iter().for_each(|bound| to.float(*bound));
            buckets.counts.iter().for_each(|count| to.number(*count));
            return to.float(buckets.sum);
        }
    }
    to.float(series.number());
}

impl Shard {
    fn keep(&self, to: &mut Writer) {
        lock(&self.data).keep(to);
        let moved = lock(&self.moved);
        to.number(moved.len() as u64);
        for (listener, ways) in &*moved {
            to.number(u64::from(*listener));
            ways.iter().for_each(|way| to.number(way.load(Ordering::Relaxed)));
        }
    }

    fn take_back(&self, number: impl Fn(u64) -> u32, from: &mut Reader<'_>) -> Option<()> {
        lock(&self.data).take_back(&number, from)?;
        for _ in 0..from.number()? {
            let ways = lock(&self.moved).entry(number(from.number()?)).or_default().clone();
            for way in &*ways {
                way.fetch_add(from.number()?, Ordering::Relaxed);
            }
        }
        Some(())
    }
}

impl Data {
    fn keep(&self, to: &mut Writer) {
        to.number(self.requests.len() as u64);
        for ((listener, route, protocol, status), count) in &self.requests {
            let protocol = PROTOCOLS.iter().position(|one| one == protocol).unwrap_or(0);
            let key = [*listener, *route, protocol as u32, u32::from(*status)];
            key.iter().for_each(|part| to.number(u64::from(*part)));
            to.number(*count);
        }
        to.number(self.faults.len() as u64);
        for ((filter, kind), count) in &self.faults {
            to.number(u64::from(*filter));
            to.bytes(kind.as_bytes());
            to.number(*count);
        }
        to.number(self.flows.len() as u64);
        for ((listener, upstream, error), count) in &self.flows {
            to.number(u64::from(*listener));
            to.number(u64::from(*upstream));
            to.bytes(error.as_bytes());
            to.number(*count);
        }
        to.number(self.sheds.len() as u64);
        for ((at, name, why), count) in &self.sheds {
            to.number(*at as u64);
            to.number(u64::from(*name));
            to.bytes(why.as_bytes());
            to.number(*count);
        }
        keep_all(&self.durations, 1, to);
        keep_all(&self.upstreams, 1, to);
        keep_all(&self.filters, Phase::COUNT, to);
    }

    fn take_back(&mut self, number: impl Fn(u64) -> u32, from: &mut Reader<'_>) -> Option<()> {
        for _ in 0..from.number()? {
            let (listener, route) = (number(from.number()?), number(from.number()?));
            let protocol = *PROTOCOLS.get(from.number()? as usize)?;
            let key = (listener, route, protocol, from.number()? as u16);
            *self.requests.entry(key).or_default() += from.number()?;
        }
        for _ in 0..from.number()? {
            let (filter, kind, count) = (number(from.number()?), from.text()?, from.number()?);
            if let Some(kind) = FaultKind::ALL.iter().find(|one| one.name() == kind) {
                *self.faults.entry((filter, kind.name())).or_default() += count;
            }
        }
        for _ in 0..from.number()? {
            let (listener, upstream) = (number(from.number()?), number(from.number()?));
            let error = from.text()?.to_owned().into();
            *self.flows.entry((listener, upstream, error)).or_default() += from.number()?;
        }
        for _ in 0..from.number()? {
            let at = At::ALL.get(from.number()? as usize)?;
            let (name, why, count) = (number(from.number()?), from.text()?, from.number()?);
            if let Some(why) = Why::ALL.iter().find(|one| one.name() == why) {
                *self.sheds.entry((*at, name, why.name())).or_default() += count;
            }
        }
        let place = |old: usize| number(old as u64) as usize;
        read_all(&mut self.durations, 1, place, from)?;
        read_all(&mut self.upstreams, 1, place, from)?;
        read_all(&mut self.filters, Phase::COUNT, place, from)
    }
}

/// Writes down those of places that have so many parts at most.
fn keep_all(histograms: &Histograms, parts: usize, to: &mut Writer) {
    to.number(histograms.iter().count() as u64);
    for (place, histogram) in histograms.iter() {
        to.number((place * parts + usize::from(histogram.part)) as u64);
        keep_histogram(histogram, to);
    }
}

/// Counts of a histogram, as they are kept.
const KEPT: usize = 16;

pub(super) fn keep_histogram(histogram: &Histogram, to: &mut Writer) {
    to.number(u64::from(histogram.scale == Scale::Fine));
    histogram.counts().into_iter().chain([0]).for_each(|count| to.number(count));
    to.float(histogram.sum);
}

pub(super) fn read_histogram(from: &mut Reader<'_>) -> Option<Histogram> {
    let scale = if from.number()? == 1 { Scale::Fine } else { Scale::Coarse };
    let mut counts = [0; KEPT];
    for count in &mut counts {
        *count = from.number()?;
    }
    let mut kept = Histogram::new(scale);
    kept.merge(counts, from.float()?);
    Some(kept)
}

fn read_all(
    histograms: &mut Histograms,
    parts: usize,
    place: impl Fn(usize) -> usize,
    from: &mut Reader<'_>,
) -> Option<()> {
    for _ in 0..from.number()? {
        let at = from.number()? as usize;
        let kept = read_histogram(from)?;
        let one = histograms.at(place(at / parts), (at % parts) as u8, kept.scale);
        one.merge(kept.counts(), kept.sum);
    }
    Some(())
}

#[cfg(test)]
mod tests;
