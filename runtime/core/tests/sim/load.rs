//! Loads: how many requests come in each second.

use super::dice::Dice;

/// Seconds.
pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;

/// How often something happens that happens `mean` times on average (Poisson).
pub(crate) fn count(dice: &mut Dice, mean: f64) -> u32 {
    let (limit, mut product, mut count) = ((-mean).exp(), dice.unit(), 0);
    while product > limit {
        product *= dice.unit();
        count += 1;
    }
    count
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Nothing, then all at once, then nothing.
    Step,
    /// Up for an hour, down for an hour.
    Ramp,
    /// Quiet nights, rises within six minutes at eight and after the midday dip, an evening peak; days differ by
    /// a tenth.
    Day,
    /// The same on five days, and a third of it on two.
    Week,
    /// A low steady load with five-minute bursts at random times.
    Spikes,
    /// A steady load that wanders and jitters.
    Noise,
    /// The same with days of different size, rises up to a quarter of an hour early or late, lulls,
    /// and a burst now and then.
    Uneven,
    /// A handful of requests at about every full hour, nothing else.
    Hourly,
}

pub(crate) const KINDS: [Kind; 8] = [
    Kind::Step,
    Kind::Ramp,
    Kind::Day,
    Kind::Week,
    Kind::Spikes,
    Kind::Noise,
    Kind::Uneven,
    Kind::Hourly,
];

/// Requests a second over time.
pub(crate) struct Load {
    kind: Kind,
    /// At the peak.
    peak: f64,
    dice: Dice,
    /// Of the day at hand: its size, and seconds by which it is late.
    size: f64,
    late: i64,
    wander: f64,
    burst_until: i64,
    lull_until: i64,
}

impl Load {
    pub(crate) fn new(kind: Kind, peak: f64, seed: u64) -> Load {
        let dice = Dice(seed);
        Load { kind, peak, dice, size: 1.0, late: 0, wander: 0.0, burst_until: 0, lull_until: 0 }
    }

    /// Requests in a second.
    pub(crate) fn arrivals(&mut self, second: i64) -> u32 {
        let rate = self.rate(second);
        count(&mut self.dice, rate)
    }

    fn rate(&mut self, second: i64) -> f64 {
        let peak = self.peak;
        if second % DAY == 0 {
            self.size = 0.9 + 0.2 * self.dice.unit();
            self.late = 0;
            if self.kind == Kind::Uneven {
                self.size = 0.7 + 0.6 * self.dice.unit();
                self.late = (1800.0 * (self.dice.unit() - 0.5)) as i64;
            }
        }
        let hour = (second - self.late).rem_euclid(DAY) as f64 / HOUR as f64;
        match self.kind {
            Kind::Step => match second / HOUR % 3 {
                1 => peak,
                _ => 0.0,
            },
            Kind::Ramp => {
                let at = (second % (3 * HOUR)) as f64 / HOUR as f64;
                peak * (if at < 1.0 { at } else { 2.0 - at }).max(0.0)
            }
            Kind::Day => peak * self.size * day(hour),
            Kind::Week => match second / DAY % 7 {
                5 | 6 => peak * self.size * day(hour) / 3.0,
                _ => peak * self.size * day(hour),
            },
            Kind::Spikes => {
                if self.dice.unit() < 1.0 / 2400.0 {
                    self.burst_until = second + 300;
                }
                if second < self.burst_until { peak } else { peak / 10.0 }
            }
            Kind::Noise => {
                self.wander = (self.wander + 0.02 * (self.dice.unit() - 0.5)).clamp(-0.25, 0.25);
                peak * (0.5 + self.wander + 0.4 * (self.dice.unit() - 0.5))
            }
            Kind::Uneven => {
                if self.dice.unit() < 1.0 / (4.0 * HOUR as f64) {
                    self.burst_until = second + 60 + (120.0 * self.dice.unit()) as i64;
                }
                if self.dice.unit() < 1.0 / (3.0 * HOUR as f64) {
                    self.lull_until = second + 180;
                }
                let rate = peak * self.size * day(hour);
                match () {
                    () if second < self.burst_until => rate * 1.8,
                    () if second < self.lull_until => rate * 0.3,
                    () => rate,
                }
            }
            Kind::Hourly => {
                let minute = second.rem_euclid(HOUR) as f64 / 60.0;
                if (0.0..1.0).contains(&minute) { 0.2 } else { 0.0 }
            }
        }
    }
}

/// The share of the peak at an hour of the day.
fn day(hour: f64) -> f64 {
    const POINTS: [(f64, f64); 10] = [
        (0.0, 0.0),
        (8.0, 0.0),
        (8.1, 0.7),
        (12.0, 0.8),
        (12.5, 0.3),
        (13.0, 0.3),
        (13.1, 0.7),
        (18.0, 1.0),
        (21.0, 0.0),
        (24.0, 0.0),
    ];
    let after = POINTS.iter().position(|(at, _)| *at > hour).unwrap_or(POINTS.len() - 1);
    let ((from, low), (to, high)) = (POINTS[after - 1], POINTS[after]);
    low + (high - low) * (hour - from) / (to - from)
}
