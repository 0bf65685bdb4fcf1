//! How fast: a rate that grows as nodes commit, never because they were told to.

use serde::{Deserialize, Serialize};

use crate::manifest;

/// A whole leave. Whole numbers, so that a stored pace goes on as it was, to the last digit.
const ONE: u64 = 1_000_000_000;

/// Leave to begin something, as time goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pace {
    /// Parts of a leave in a millisecond.
    rate: u64,
    /// Commits since it was last raised.
    commits: u64,
    at: u64,
    pub(super) offers: Leave,
    pub(super) switches: Leave,
}

/// Of one sort, in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leave(u64);

impl Leave {
    /// Takes one, if there is one.
    pub(super) fn take(&mut self) -> bool {
        let left = self.0.checked_sub(ONE);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Parts in a millisecond.
fn parts(per_ms: f64) -> u64 {
    ((per_ms * ONE as f64) as u64).max(1)
}

impl Pace {
    pub(super) fn new(pace: &manifest::Pace, now: u64) -> Pace {
        let rate = parts(pace.start.per_ms());
        Pace { rate, commits: 0, at: now, offers: Leave(ONE), switches: Leave(ONE) }
    }

    /// Time has gone by. What nobody took within a second is gone: a pause is not made up for.
    pub(super) fn flow(&mut self, now: u64) {
        let elapsed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        let most = self.rate.saturating_mul(1000).max(ONE);
        for leave in [&mut self.offers, &mut self.switches] {
            leave.0 = leave.0.saturating_add(self.rate.saturating_mul(elapsed)).min(most);
        }
    }

    pub(super) fn committed(&mut self, pace: &manifest::Pace) {
        self.commits += 1;
        let minute = self.rate.saturating_mul(60_000).div_ceil(ONE);
        if self.commits >= pace.grow_after.unwrap_or(minute) {
            self.commits = 0;
            let grown = (self.rate as f64 * pace.grow) as u64;
            self.rate = grown.min(parts(pace.max.per_ms()));
        }
    }
}
