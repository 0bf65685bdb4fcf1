//! `gateway.metric`.

use std::os::raw::c_int;

use pilotlight_filter::host::{MetricKind, NewMetric};
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::stack::{Kind, Stack};
use crate::value::refuse;
use crate::vm::window_of;
use crate::window::{FALSE, TRUE, Window};

/// Labels of a series, and bounds of a histogram.
const LABELS_MAX: usize = 16;
const BOUNDS_MAX: usize = 32;

pub(crate) fn fast() -> [Fast; 3] {
    [
        fast!("metric_add", add(window, int, double) -> int),
        fast!("metric_set", set(window, int, double) -> int),
        fast!("metric_observe", observe(window, int, double) -> int),
    ]
}

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("metric_open", open)]
}

macro_rules! record {
    ($name:ident) => {
        unsafe fn $name(window: *mut Window, index: c_int, value: f64) -> c_int {
            // SAFETY: the prelude passes its own window.
            let window = unsafe { &mut *window };
            let Some(metric) = window.host.metrics.get(index as usize) else { return FALSE };
            metric.$name(value);
            TRUE
        }
    };
}

record!(add);
record!(set);
record!(observe);

/// As the prelude numbers them.
const KINDS: [MetricKind; 3] = [MetricKind::Counter, MetricKind::Gauge, MetricKind::Histogram];

/// `metric_open(kind, name, labels, bounds)`: a series' number, or nil and why there is none.
unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let kind = KINDS[(stack.number(1).unwrap_or_default() as usize).min(2)];
    let name = stack.text(2).unwrap_or_default();
    let Some(labels) = labels(stack) else { return refuse(stack, "too many labels") };
    let Some(bounds) = bounds(stack) else {
        return refuse(stack, "bounds are a list of numbers, each larger than the one before");
    };
    let new = NewMetric { kind, name: &name, labels: &labels, bounds: &bounds };
    match window.host.services.metric(&new) {
        Ok(metric) => {
            window.host.metrics.push(metric);
            stack.push_number((window.host.metrics.len() - 1) as f64);
            1
        }
        Err(why) => refuse(stack, why),
    }
}

/// The third argument's pairs, in order of their names.
fn labels(stack: Stack) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    if stack.kind(3) != Kind::Table {
        return Some(labels);
    }
    stack.push_nil();
    while stack.next(3) {
        let value = match stack.kind(-1) {
            Kind::Bool => stack.truth(-1).to_string(),
            _ => String::from_utf8_lossy(stack.digits(-1).unwrap_or_default()).into_owned(),
        };
        labels.push((stack.text(-2).unwrap_or_default(), value));
        stack.pop(1);
        if labels.len() > LABELS_MAX {
            stack.pop(1);
            return None;
        }
    }
    labels.sort();
    Some(labels)
}

/// The fourth argument's numbers.
fn bounds(stack: Stack) -> Option<Vec<f64>> {
    let mut bounds: Vec<f64> = Vec::new();
    if stack.kind(4) == Kind::Nil {
        return Some(bounds);
    }
    if stack.kind(4) != Kind::Table || stack.length(4) > BOUNDS_MAX {
        return None;
    }
    for index in 1..=stack.length(4) {
        stack.get_at(4, index as c_int);
        let bound = stack.number(-1).filter(|bound| bound.is_finite())?;
        stack.pop(1);
        if bounds.last().is_some_and(|last| *last >= bound) {
            return None;
        }
        bounds.push(bound);
    }
    Some(bounds)
}
