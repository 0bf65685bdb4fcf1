//! How many requests at a time are good for what is behind.
//!
//! A gradient, as in Envoy's adaptive concurrency and Netflix's concurrency-limits: in each window the limit
//! is multiplied by how the time that a request takes without a queue compares with the time it takes now,
//! and gets room for a queue of its square root. The former is the least of late; so that it can be seen under
//! a load that never ends, the limit gives way now and then.
//!
//! Times differ without any queue, and a few slow requests among quick ones are no overload. So it is the means
//! of their logarithms that are compared, which waiting shifts and a long tail does not, and only what is more
//! than chance would do, by how much times differ, counts.

use super::{Bounds, End, SECOND};

/// A window is at least so long, and has at least so many answers.
const WINDOW: u64 = SECOND / 10;
const ANSWERS: u32 = 10;

/// A mean counts as the least time only over so many answers: that of ten quick ones says nothing of the rest.
const STEADY: u32 = 100;

/// Even with fewer answers, a window or a probe is over after so long.
const LONGEST: u64 = 2 * SECOND;

/// The least time of late is the least of two spans like this...
const SPAN: u64 = 15 * SECOND;
/// ... or like this, as long as giving way has made requests quicker: then there was never less than too much.
const SOON: u64 = 2 * SECOND;

/// What of the limit is left while the least time is looked for.
const PROBE: f64 = 0.6;

/// Times may differ so much and mean nothing (a logarithm: by a tenth)...
const TOLERANCE: f64 = 0.1;
/// ... beside so many standard errors.
const NOISE: f64 = 2.0;

/// A client that left after so many times the least time did not leave for another reason.
const ENOUGH: u64 = 2;

/// The least that a window leaves of the limit.
const STEEPEST: f64 = 0.5;

/// The limit grows to so many times what was in flight: what was not used cannot be known to be good.
const HEADROOM: f64 = 2.0;

/// What a window adds, as long as more made nothing slower yet.
const FRESH: f64 = 0.5;

/// What a window with failures leaves of it.
const FAILURE: f64 = 0.9;

#[derive(Debug, Clone)]
pub(super) struct Limit {
    bounds: Bounds,
    limit: f64,
    /// More have made nothing slower yet: whoever starts in the midst of the day's load gets there in a second.
    fresh: bool,
    /// Since when it gives way.
    probing: Option<u64>,
    /// The least means of the span before and of this one: logarithms of microseconds.
    least: [f64; 2],
    span_began: u64,
    span: u64,
    /// What was known before the probe.
    known: f64,
    /// What the next such mean is made of.
    steady: Answers,
    /// The window.
    began: u64,
    answers: Answers,
    failures: u32,
}

/// How many there were, and the sums of the logarithms of their times and of these squared.
#[derive(Debug, Clone, Copy, Default)]
struct Answers {
    count: u32,
    sum: f64,
    squares: f64,
}

impl Answers {
    fn add(&mut self, log: f64) {
        self.count += 1;
        self.sum += log;
        self.squares += log * log;
    }

    fn mean(self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }

    /// How much they differ.
    fn variance(self) -> f64 {
        (self.squares / f64::from(self.count.max(1)) - self.mean().powi(2)).max(0.0)
    }
}

impl Limit {
    pub(super) fn new(bounds: Bounds) -> Limit {
        Limit {
            bounds,
            limit: f64::from(bounds.start),
            fresh: true,
            probing: None,
            least: [f64::INFINITY; 2],
            span_began: 0,
            span: SOON,
            known: f64::INFINITY,
            steady: Answers::default(),
            began: 0,
            answers: Answers::default(),
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
        if least.is_finite() { least.exp() as u64 } else { 0 }
    }

    /// True when a window is over: the limit may be another. `busiest` is the most that was in flight in it.
    #[inline]
    pub(super) fn sample(&mut self, now: u64, took: u64, end: End, busiest: u32) -> bool {
        match end {
            End::Answered => {
                let log = (took.max(1) as f64).ln();
                self.answers.add(log);
                // A probe looks at those alone that came to it.
                if self.probing.is_none_or(|since| now.saturating_sub(took) >= since) {
                    self.steady.add(log);
                }
            }
            End::Overloaded => self.failures += 1,
            End::Left if took > ENOUGH * self.base() => self.failures += 1,
            End::Left | End::Other => return false,
        }
        let age = now.saturating_sub(self.began);
        let count = self.answers.count + self.failures;
        let over = age >= WINDOW && count >= ANSWERS || age >= LONGEST;
        if over {
            self.window(now, busiest);
        }
        over
    }

    fn window(&mut self, now: u64, busiest: u32) {
        let (answers, failures) = (self.answers, self.failures);
        (self.began, self.answers, self.failures) = (now, Answers::default(), 0);
        let probed = self.probing.is_some_and(|since| now.saturating_sub(since) >= LONGEST);
        if self.steady.count >= STEADY || probed && self.steady.count >= ANSWERS {
            let mean = self.steady.mean();
            self.least[1] = self.least[1].min(mean);
            self.steady = Answers::default();
            if self.probing.take().is_some() {
                self.span = if mean < self.known - TOLERANCE { SOON } else { SPAN };
            }
        } else if probed {
            self.probing = None;
        }
        if self.probing.is_some() {
            return;
        }
        let base = self.least[0].min(self.least[1]);
        let gradient = match answers.count {
            0 => 1.0,
            count => {
                let errors = 1.0 / f64::from(count) + 1.0 / f64::from(STEADY);
                let slack = TOLERANCE + NOISE * (answers.variance() * errors).sqrt();
                (base + slack - answers.mean()).exp().clamp(STEEPEST, 1.0)
            }
        };
        self.fresh &= gradient == 1.0 && failures == 0;
        let mut limit = self.limit * gradient;
        let used = f64::from(busiest) * HEADROOM;
        if failures == 0 && used > self.limit {
            let more = if self.fresh { self.limit * FRESH } else { self.limit.sqrt() };
            limit = (limit + more).min(used);
        }
        if u64::from(failures) * 10 >= u64::from(answers.count).max(1) {
            limit = limit.min(self.limit * FAILURE);
        }
        self.limit = limit.clamp(f64::from(self.bounds.min), f64::from(self.bounds.max));
        if now.saturating_sub(self.span_began) >= self.span {
            self.span(now);
        }
    }

    /// Another begins, once something is known of this one.
    fn span(&mut self, now: u64) {
        if self.least[1].is_infinite() {
            if self.steady.count < ANSWERS {
                return;
            }
            self.least[1] = self.steady.mean();
        }
        self.span_began = now;
        self.known = self.least[0].min(self.least[1]);
        self.least = [self.least[1], f64::INFINITY];
        self.probing = Some(now);
        self.steady = Answers::default();
    }
}
