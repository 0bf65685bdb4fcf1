//! How many requests at a time are good for what is behind.
//!
//! A gradient, as in Envoy's adaptive concurrency and Netflix's concurrency-limits: in each window the limit
//! is multiplied by how the time that a request takes without a queue compares with the time it takes now,
//! and gets room for a queue of its square root. The former is the least of late; so that it can be seen
//! under a load that never ends, the limit gives way for a window now and then.

use super::{Bounds, End, SECOND};

/// A window is at least so long, and has at least so many answers.
const WINDOW: u64 = SECOND / 10;
const ANSWERS: u32 = 10;

/// Even with fewer answers, a window is over after so long.
const LONGEST: u64 = 2 * SECOND;

/// The least time of late is the least of two spans like this.
const SPAN: u64 = 15 * SECOND;

/// What of the limit is left in the window in which the least time is looked for.
const PROBE: f64 = 0.7;

/// Times may differ so much and mean nothing.
const TOLERANCE: f64 = 1.1;

/// The least that a window leaves of the limit.
const STEEPEST: f64 = 0.5;

/// What a window with failures leaves of it.
const FAILURE: f64 = 0.9;

#[derive(Debug, Clone)]
pub(super) struct Limit {
    bounds: Bounds,
    limit: f64,
    /// What it was before it gave way.
    probing: Option<f64>,
    /// The least mean times of the span before and of this one, in microseconds.
    least: [f64; 2],
    span_began: u64,
    /// The window.
    began: u64,
    sum: u64,
    answers: u32,
    failures: u32,
}

impl Limit {
    pub(super) fn new(bounds: Bounds) -> Limit {
        Limit {
            bounds,
            limit: f64::from(bounds.first),
            probing: None,
            least: [f64::INFINITY; 2],
            span_began: 0,
            began: 0,
            sum: 0,
            answers: 0,
            failures: 0,
        }
    }

    pub(super) fn get(&self) -> u32 {
        let limit = self.probing.map_or(self.limit, |_| self.limit * PROBE);
        (limit as u32).clamp(self.bounds.min.max(1), self.bounds.max.max(1))
    }

    /// The time that a request takes when nothing is in its way; 0: not known yet.
    pub(super) fn base(&self) -> u64 {
        let least = self.least[0].min(self.least[1]);
        if least.is_finite() { least as u64 } else { 0 }
    }

    /// True when a window is over: the limit may be another. `busiest` is the most that was in flight in it.
    #[inline]
    pub(super) fn sample(&mut self, now: u64, took: u64, end: End, busiest: u32) -> bool {
        match end {
            End::Answered => {
                self.sum += took;
                self.answers += 1;
            }
            End::Overloaded => self.failures += 1,
            End::Other => return false,
        }
        let age = now.saturating_sub(self.began);
        let over = age >= WINDOW && self.answers + self.failures >= ANSWERS || age >= LONGEST;
        if over {
            self.window(now, busiest);
        }
        over
    }

    fn window(&mut self, now: u64, busiest: u32) {
        let (answers, failures) = (self.answers, self.failures);
        let mean = self.sum as f64 / f64::from(answers.max(1));
        (self.began, self.sum, self.answers, self.failures) = (now, 0, 0, 0);
        if answers > 0 {
            self.least[1] = self.least[1].min(mean);
        }
        if self.probing.take().is_some() {
            // What was seen of it is in `least` now.
            return;
        }
        let base = self.least[0].min(self.least[1]);
        let gradient = match answers {
            0 => 1.0,
            _ => (base * TOLERANCE / mean).clamp(STEEPEST, 1.0),
        };
        let mut limit = self.limit * gradient;
        // What was not used cannot be known to be good.
        if failures == 0 && f64::from(busiest) >= self.limit * 0.5 {
            limit += self.limit.sqrt();
        }
        if u64::from(failures) * 10 >= u64::from(answers).max(1) {
            limit = limit.min(self.limit * FAILURE);
        }
        self.limit = limit.clamp(f64::from(self.bounds.min), f64::from(self.bounds.max));
        if now.saturating_sub(self.span_began) >= SPAN {
            self.span_began = now;
            self.least = [self.least[1], f64::INFINITY];
            self.probing = Some(self.limit);
        }
    }
}
