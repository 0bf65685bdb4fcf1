//! Metrics that programs under test record.

use std::sync::{Mutex, PoisonError};

use pilotlight_abi::Value;
use pilotlight_filter::host::{Metric, MetricKind};

use crate::values::map;

/// A series of metrics: how often something was put in, and what it comes to.
pub(super) struct Series {
    kind: MetricKind,
    counted: Mutex<(u64, f64)>,
}

impl Series {
    pub(super) fn new(kind: MetricKind) -> Series {
        Series { kind, counted: Mutex::new((0, 0.0)) }
    }

    pub(super) fn is(&self, kind: MetricKind) -> bool {
        self.kind == kind
    }

    fn change(&self, kinds: &[MetricKind], change: impl FnOnce(f64) -> f64) {
        if kinds.contains(&self.kind) {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            *counted = (counted.0 + 1, change(counted.1));
        }
    }

    pub(super) fn value(&self) -> Value {
        let (count, sum) = *self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        match self.kind {
            MetricKind::Histogram => {
                map([("count", Value::Int(count as i64)), ("sum", Value::Float(sum))])
            }
            MetricKind::Counter | MetricKind::Gauge => Value::Float(sum),
        }
    }
}

impl Metric for Series {
    fn add(&self, by: f64) {
        self.change(&[MetricKind::Counter, MetricKind::Gauge], |sum| sum + by);
    }

    fn set(&self, to: f64) {
        self.change(&[MetricKind::Gauge], |_| to);
    }

    fn observe(&self, value: f64) {
        self.change(&[MetricKind::Histogram], |sum| sum + value);
    }
}
