//! Programs' own metrics: one table for all workers, whose series they hold on to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pilotlight_abi::limit::METRIC_SERIES;
use pilotlight_filter::host::{Metric, MetricKind, NewMetric};

use super::histogram::COARSE;
use super::lock;

/// Bytes of a name, and of a label's value.
const NAME_MAX: usize = 128;
const VALUE_MAX: usize = 256;
/// What our own families begin with.
const RESERVED: &str = "pilotlight_";

/// Sorted by name.
pub(super) type Labels = Vec<(String, String)>;

/// All families, by name.
#[derive(Default)]
pub(crate) struct Own {
    families: Mutex<BTreeMap<String, Family>>,
}

/// The series of one name.
pub(super) struct Family {
    pub(super) kind: MetricKind,
    bounds: Arc<[f64]>,
    pub(super) series: BTreeMap<Labels, Arc<Series>>,
}

/// One series.
pub(super) enum Series {
    /// The bits of a counter's number, which only grows.
    Counter(AtomicU64),
    /// The bits of a gauge's number.
    Gauge(AtomicU64),
    Buckets(Mutex<Buckets>),
}

/// A histogram.
#[derive(Clone)]
pub(super) struct Buckets {
    pub(super) bounds: Arc<[f64]>,
    /// One more than the bounds.
    pub(super) counts: Vec<u64>,
    pub(super) sum: f64,
}

impl Own {
    /// The series that a program means; made when there is none.
    ///
    /// # Errors
    /// What can't be a name or a label, a name of another kind, more series than there may be.
    pub(crate) fn open(&self, new: &NewMetric<'_>) -> Result<Arc<dyn Metric>, &'static str> {
        // Prometheus adds it to counters: who writes it means the same.
        let name = match new.kind {
            MetricKind::Counter => new.name.strip_suffix("_total").unwrap_or(new.name),
            _ => new.name,
        };
        if !is_name(name, true) || name.starts_with(RESERVED) {
            return Err("not a metric's name");
        }
        if !new.labels.iter().all(|(label, value)| is_label(label) && value.len() <= VALUE_MAX) {
            return Err("not a label");
        }
        let mut families = lock(&self.families);
        let count: usize = families.values().map(|family| family.series.len()).sum();
        if let Some(family) = families.get(name) {
            if family.kind != new.kind {
                return Err("a metric of another kind has this name");
            }
            if let Some(known) = family.series.get(new.labels) {
                return Ok(known.clone());
            }
        }
        if count >= METRIC_SERIES {
            return Err("too many series");
        }
        let family = families.entry(name.to_owned()).or_insert_with(|| Family {
            kind: new.kind,
            bounds: if new.bounds.is_empty() { COARSE } else { new.bounds }.into(),
            series: BTreeMap::new(),
        });
        let series = Arc::new(match new.kind {
            MetricKind::Histogram => Series::Buckets(Mutex::new(Buckets {
                bounds: family.bounds.clone(),
                counts: vec![0; family.bounds.len() + 1],
                sum: 0.0,
            })),
            MetricKind::Counter => Series::Counter(AtomicU64::new(0)),
            MetricKind::Gauge => Series::Gauge(AtomicU64::new(0)),
        });
        family.series.insert(new.labels.to_vec(), series.clone());
        Ok(series)
    }

    /// A series as it was before sleep. It must not have been used since.
    pub(super) fn revive(
        &self,
        new: &NewMetric<'_>,
        value: f64,
        counts: Vec<u64>,
    ) -> Result<(), &'static str> {
        drop(self.open(new)?);
        let families = lock(&self.families);
        let name = new.name.strip_suffix("_total").unwrap_or(new.name);
        let family = families.get(name).or_else(|| families.get(new.name));
        match family.and_then(|family| family.series.get(new.labels)).map(|series| &**series) {
            Some(Series::Buckets(buckets)) => {
                let mut buckets = lock(buckets);
                if buckets.counts.len() == counts.len() {
                    (buckets.counts, buckets.sum) = (counts, value);
                }
            }
            Some(Series::Counter(bits) | Series::Gauge(bits)) => {
                bits.store(value.to_bits(), Ordering::Relaxed);
            }
            None => {}
        }
        Ok(())
    }

    /// Shows every family to a page.
    pub(super) fn each(&self, mut show: impl FnMut(&str, &Family)) {
        lock(&self.families).iter().for_each(|(name, family)| show(name, family));
    }
}

impl Series {
    pub(super) fn number(&self) -> f64 {
        match self {
            Series::Counter(bits) | Series::Gauge(bits) => {
                f64::from_bits(bits.load(Ordering::Relaxed))
            }
            Series::Buckets(_) => 0.0,
        }
    }
}

impl Metric for Series {
    fn add(&self, by: f64) {
        let grows = !matches!(self, Series::Counter(_)) || by >= 0.0;
        if let (Series::Counter(bits) | Series::Gauge(bits), true) = (self, grows) {
            let sum = |bits| Some((f64::from_bits(bits) + by).to_bits());
            // It always gives a number, so it always comes to an end.
            let _ = bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
        }
    }

    fn set(&self, to: f64) {
        if let Series::Gauge(bits) = self {
            bits.store(to.to_bits(), Ordering::Relaxed);
        }
    }

    fn value(&self) -> f64 {
        self.number()
    }

    fn observe(&self, value: f64) {
        if let Series::Buckets(buckets) = self {
            let mut buckets = lock(buckets);
            let place = buckets.bounds.partition_point(|bound| *bound < value);
            buckets.counts[place] += 1;
            buckets.sum += value;
        }
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`; families may have colons.
fn is_name(name: &str, colons: bool) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || colons && b == b':';
    let begins = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    begins && name.len() <= NAME_MAX && name.bytes().all(is_part)
}

/// Two underscores are Prometheus's own, and `le` is a histogram's.
fn is_label(name: &str) -> bool {
    is_name(name, false) && !name.starts_with("__") && name != "le"
}

#[cfg(test)]
mod tests;
