//! Chance from a seed (SplitMix64).

/// A source of chance.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to less than 1.
    pub(super) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True for this share of calls.
    pub(super) fn hits(&mut self, share: f64) -> bool {
        share > 0.0 && self.part() < share
    }

    /// One of these.
    pub(super) fn of(&mut self, count: usize) -> usize {
        ((self.part() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// From one to the other.
    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + (self.part() * (to - from) as f64) as u64
    }

    /// Until something happens that takes so long on average, but never less than a second.
    pub(super) fn wait(&mut self, average: f64) -> u64 {
        (-(1.0 - self.part()).ln() * average).clamp(1000.0, 1e13) as u64
    }
}
