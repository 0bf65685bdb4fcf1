//! Who decides: ours, and the published rules of others with their default constants.

use std::collections::VecDeque;

use pilotlight_config::manifest;
use pilotlight_core::scale::{Now, Sample, Scaler};

/// Decides once a second.
pub(crate) trait Rule {
    fn decide(&mut self, second: i64, sample: Sample) -> u32;
    /// An instance took so many seconds to start.
    fn started(&mut self, _seconds: i64) {}
}

/// Ours.
pub(crate) struct Ours(pub(crate) Scaler);

pub(crate) fn now(second: i64) -> Now {
    Now { millis: second as u64 * 1000, unix: second, offset: 0 }
}

impl Ours {
    pub(crate) fn new(scale: &manifest::Scale) -> Ours {
        Ours(Scaler::new(scale, now(0)))
    }
}

impl Rule for Ours {
    fn decide(&mut self, second: i64, sample: Sample) -> u32 {
        self.0.observe(now(second), sample);
        self.0.decide(now(second)).desired
    }
    fn started(&mut self, seconds: i64) {
        self.0.started(seconds as u64 * 1000);
    }
}

/// The mean of the last values.
struct Window(VecDeque<f64>, usize);

impl Window {
    fn push(&mut self, value: f64) {
        self.0.push_back(value);
        if self.0.len() > self.1 {
            self.0.pop_front();
        }
    }
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }
}

/// Knative's pod autoscaler (serving, config/core/configmaps/autoscaler.yaml): a tick of 2 s, windows of 60 s
/// and 6 s, panic at 200 %, 70 % of the concurrency, up to 1000 times and down to half a tick, to zero when a
/// window was empty and 30 s of grace have passed.
pub(crate) struct Kpa {
    per: f64,
    max: u32,
    stable: Window,
    short: Window,
    panic_since: Option<i64>,
    panic_most: u32,
    empty_since: Option<i64>,
    desired: u32,
}

impl Kpa {
    pub(crate) fn new(concurrency: u32, max: u32) -> Kpa {
        Kpa {
            per: f64::from(concurrency) * 0.7,
            max,
            stable: Window(VecDeque::new(), 60),
            short: Window(VecDeque::new(), 6),
            panic_since: None,
            panic_most: 0,
            empty_since: None,
            desired: 0,
        }
    }
}

impl Rule for Kpa {
    fn decide(&mut self, second: i64, sample: Sample) -> u32 {
        let load = f64::from(sample.in_flight + sample.queued);
        self.stable.push(load);
        self.short.push(load);
        // The activator pokes the autoscaler at once when there is nothing.
        let poke = self.desired == 0 && load > 0.0;
        if second % 2 != 0 && !poke {
            return self.desired;
        }
        let ready = f64::from(sample.ready.max(1));
        let bound = |want: f64| want.clamp((ready / 2.0).floor(), ready * 1000.0);
        let stable = bound((self.stable.mean() / self.per).ceil()) as u32;
        let short = bound((self.short.mean() / self.per).ceil()) as u32;
        let over = f64::from(short) / ready >= 2.0;
        if over {
            self.panic_since = Some(second);
        } else if self.panic_since.is_some_and(|since| second - since > 60) {
            (self.panic_since, self.panic_most) = (None, 0);
        }
        let mut want = stable;
        if self.panic_since.is_some() {
            self.panic_most = self.panic_most.max(short).max(stable);
            want = self.panic_most;
        }
        if load > 0.0 || self.stable.mean() > 0.0 {
            self.empty_since = None;
            want = want.max(1);
        } else {
            let since = *self.empty_since.get_or_insert(second);
            want = if second - since >= 30 { 0 } else { want.max(1).min(self.desired) };
        }
        self.desired = want.min(self.max);
        self.desired
    }
}

/// Kubernetes' horizontal pod autoscaler (autoscaling/v2): a look each 15 s, a tolerance of a tenth, five
/// minutes of stabilisation downwards, up by the larger of four and all in 15 s; never to zero.
pub(crate) struct Hpa {
    per: f64,
    max: u32,
    load: Window,
    recommended: VecDeque<(i64, u32)>,
    desired: u32,
}

impl Hpa {
    pub(crate) fn new(concurrency: u32, max: u32) -> Hpa {
        let load = Window(VecDeque::new(), 30);
        let recommended = VecDeque::new();
        Hpa { per: f64::from(concurrency) * 0.7, max, load, recommended, desired: 1 }
    }
}

impl Rule for Hpa {
    fn decide(&mut self, second: i64, sample: Sample) -> u32 {
        self.load.push(f64::from(sample.in_flight + sample.queued));
        if second % 15 != 0 {
            return self.desired;
        }
        let ratio = self.load.mean() / (self.per * f64::from(self.desired));
        let mut want = match (ratio - 1.0).abs() <= 0.1 {
            true => self.desired,
            false => (self.load.mean() / self.per).ceil() as u32,
        };
        self.recommended.push_back((second, want));
        self.recommended.retain(|(at, _)| second - at < 300);
        if want < self.desired {
            want = self.recommended.iter().map(|(_, number)| *number).max().unwrap_or(want);
            want = want.min(self.desired);
        }
        self.desired = want.min(self.desired + self.desired.max(4)).clamp(1, self.max);
        self.desired
    }
}
