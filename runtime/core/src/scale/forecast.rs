//! What the load will be, by what it was at this time of the day, and of the week.
//!
//! Each season is a ring of slots: a smoothed load with its mean deviation, times how the day at hand
//! compares so far (Holt and Winters' level and season, without a trend: the slots hold it). A season
//! counts once it was seen twice and was right of late; of two, the one that errs less.

use super::state::{Reader, Writer};

/// Slots of five minutes in a day.
const DAY: (i64, usize) = (300, 288);

/// Slots of a quarter of an hour in a week.
const WEEK: (i64, usize) = (900, 672);

/// How much a new day counts in a slot.
const SEASON: f32 = 0.3;

/// How much a new slot counts in how the day compares.
const LEVEL: f32 = 0.25;

/// A season is believed while it errs by less than this share of the load.
const WRONG: f32 = 0.4;

/// Deviations of a slot that are added to it.
const MARGIN: f32 = 0.4;

/// How much of a slot's peak over its mean counts: more of it costs instances that stand by all day.
const PEAK: f32 = 0.25;

/// Loads below this are no reason for an instance, and do not say how the day compares.
const FAINT: f32 = 0.2;

/// Seconds by which clocks may differ before one has jumped.
const JUMP: i64 = 10;

#[derive(Debug, Clone)]
pub(super) struct Forecast {
    seasons: [Season; 2],
    /// Where the last sample ended: its second of the local day's count, and monotonic milliseconds.
    last: Option<(i64, u64)>,
}

#[derive(Debug, Clone)]
struct Season {
    /// Seconds.
    slot: i64,
    load: Box<[f32]>,
    deviation: Box<[f32]>,
    /// Slots that were learnt, up to two seasons.
    seen: u16,
    /// Today's load as a multiple of the usual.
    level: f32,
    /// Of late, smoothed: how wrong the forecast was, and the load.
    error: f32,
    size: f32,
    bucket: Bucket,
}

/// The slot that is being filled.
#[derive(Debug, Clone, Default)]
struct Bucket {
    index: i64,
    area: f64,
    seconds: f64,
    peak: f32,
}

impl Forecast {
    pub(super) fn new() -> Forecast {
        Forecast { seasons: [DAY, WEEK].map(Season::new), last: None }
    }

    /// The load from the last call to now; `peak` is the highest mean of a few seconds of it.
    pub(super) fn observe(&mut self, local: i64, millis: u64, load: f64, peak: f64) {
        let last = self.last.replace((local, millis));
        let Some((from, since)) = last else { return };
        let passed = (millis.saturating_sub(since) / 1000) as i64;
        if (local - from - passed).abs() > JUMP {
            // A clock was set, or summer time began: what was in the slot is not of one time.
            self.seasons.iter_mut().for_each(|season| season.bucket = Bucket::default());
            return;
        }
        self.fill(from, local, load, peak);
    }

    fn fill(&mut self, from: i64, to: i64, load: f64, peak: f64) {
        for season in &mut self.seasons {
            season.observe(from, to, load, peak as f32);
        }
    }

    /// The highest load from `local` on for `ahead` seconds, if that can be told.
    pub(super) fn highest(&self, local: i64, ahead: i64) -> Option<f64> {
        let season = self.best()?;
        let slots = local.div_euclid(season.slot)..=(local + ahead).div_euclid(season.slot);
        let highest = slots.map(|slot| season.at(slot)).fold(0.0, f32::max);
        (highest >= FAINT).then_some(highest.into())
    }

    /// Seconds from `local` until the forecast says that there is load, if it does within a day.
    pub(super) fn rise(&self, local: i64) -> Option<i64> {
        let season = self.best()?;
        let now = local.div_euclid(season.slot);
        let within = 24 * 3600 / season.slot;
        let slot = (now..=now + within).find(|slot| season.at(*slot) >= FAINT)?;
        Some((slot * season.slot - local).max(0))
    }

    fn best(&self) -> Option<&Season> {
        let wrong = |season: &&Season| season.error / season.size.max(f32::MIN_POSITIVE);
        let known = self.seasons.iter().filter(|season| season.is_believed());
        known.min_by(|a, b| wrong(a).total_cmp(&wrong(b)))
    }

    pub(super) fn save(&self, out: &mut Writer) {
        for season in &self.seasons {
            season.save(out);
        }
    }

    /// `quiet`: the local time since which nothing can have come.
    pub(super) fn load(
        &mut self,
        from: &mut Reader<'_>,
        quiet: Option<i64>,
        now: (i64, u64),
    ) -> Option<()> {
        let mut seasons = self.seasons.clone();
        for season in &mut seasons {
            season.load(from)?;
        }
        self.seasons = seasons;
        if let Some(since) = quiet.filter(|since| *since <= now.0) {
            self.fill(since, now.0, 0.0, 0.0);
        }
        self.last = Some(now);
        Some(())
    }
}

impl Season {
    fn new((slot, count): (i64, usize)) -> Season {
        let zeros = || vec![0.0; count].into_boxed_slice();
        Season {
            slot,
            load: zeros(),
            deviation: zeros(),
            seen: 0,
            level: 1.0,
            error: 0.0,
            size: 0.0,
            bucket: Bucket::default(),
        }
    }

    fn place(&self, slot: i64) -> usize {
        slot.rem_euclid(self.load.len() as i64) as usize
    }

    /// What is expected in a slot, with a margin.
    fn at(&self, slot: i64) -> f32 {
        let at = self.place(slot);
        self.load[at] * self.level + self.deviation[at] * MARGIN
    }

    fn is_believed(&self) -> bool {
        usize::from(self.seen) >= 2 * self.load.len() && self.error <= self.size * WRONG
    }

    fn observe(&mut self, from: i64, to: i64, load: f64, peak: f32) {
        // Of a long sleep the last season is enough.
        let mut from = from.max(to - self.slot * self.load.len() as i64);
        while from < to {
            let index = from.div_euclid(self.slot);
            if index != self.bucket.index {
                let full =
                    std::mem::replace(&mut self.bucket, Bucket { index, ..Bucket::default() });
                self.learn(&full);
            }
            let end = to.min((index + 1) * self.slot);
            self.bucket.area += load * (end - from) as f64;
            self.bucket.seconds += (end - from) as f64;
            self.bucket.peak = self.bucket.peak.max(peak);
            from = end;
        }
    }

    fn learn(&mut self, bucket: &Bucket) {
        // A slot that was not seen whole says nothing of its load.
        if bucket.seconds < self.slot as f64 * 0.9 {
            return;
        }
        let mean = (bucket.area / bucket.seconds) as f32;
        let load = mean + (bucket.peak - mean) * PEAK;
        let at = self.place(bucket.index);
        let season = self.load.len() as f32;
        if f32::from(self.seen) < season {
            // The first time around.
            (self.load[at], self.deviation[at]) = (load, load * 0.2);
            self.seen += 1;
            return;
        }
        let usual = self.load[at];
        let off = (load - usual * self.level).abs();
        // A day's memory, in slots of any width.
        let fade = self.slot as f32 / (24.0 * 3600.0);
        self.error += fade * (off - self.error);
        self.size += fade * (load.max(usual * self.level) - self.size);
        self.level = if usual > FAINT {
            self.level + LEVEL * ((load / usual).clamp(0.0, 2.0) - self.level)
        } else {
            self.level + LEVEL / 4.0 * (1.0 - self.level)
        };
        self.load[at] += SEASON * (load - usual);
        self.deviation[at] += SEASON * ((load - usual).abs() - self.deviation[at]);
        self.seen = self.seen.saturating_add(1).min(2 * self.load.len() as u16);
    }

    fn save(&self, out: &mut Writer) {
        out.u16(self.seen);
        [self.level, self.error, self.size].into_iter().for_each(|number| out.small(number));
        self.load.iter().chain(&self.deviation).for_each(|number| out.small(*number));
    }

    fn load(&mut self, from: &mut Reader<'_>) -> Option<()> {
        self.seen = from.u16()?.min(2 * self.load.len() as u16);
        self.level = from.small()?.min(2.0);
        (self.error, self.size) = (from.small()?, from.small()?);
        for number in self.load.iter_mut().chain(&mut self.deviation) {
            *number = from.small()?;
        }
        Some(())
    }
}
