//! How fast: a rate that grows as nodes commit, never because they were told to.

use serde::{Deserialize, Serialize};

use crate::manifest;

/// Leave to begin something, as time goes by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pace {
    /// A millisecond.
    rate: f64,
    /// Commits since it was last raised.
    commits: u64,
    at: u64,
    pub(super) offers: Leave,
    pub(super) switches: Leave,
}

/// Of one sort.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Leave(f64);

impl Leave {
    /// Takes one, if there is one.
    pub(super) fn take(&mut self) -> bool {
        let is = self.0 >= 1.0;
        self.0 -= f64::from(u8::from(is));
        is
    }
}

impl Pace {
    pub(super) fn new(pace: &manifest::Pace, now: u64) -> Pace {
        let full = || Leave(1.0);
        let rate = pace.start.per_ms();
        Pace { rate, commits: 0, at: now, offers: full(), switches: full() }
    }

    /// Time has gone by. What nobody took within a second is gone: a pause is not made up for.
    pub(super) fn flow(&mut self, now: u64) {
        let elapsed = now.saturating_sub(self.at) as f64;
        self.at = self.at.max(now);
        let most = (self.rate * 1000.0).max(1.0);
        for leave in [&mut self.offers, &mut self.switches] {
            leave.0 = (leave.0 + elapsed * self.rate).min(most);
        }
    }

    pub(super) fn committed(&mut self, pace: &manifest::Pace) {
        self.commits += 1;
        let minute = (self.rate * 60_000.0).ceil() as u64;
        if self.commits >= pace.grow_after.unwrap_or(minute) {
            self.commits = 0;
            self.rate = (self.rate * pace.grow).min(pace.max.per_ms());
        }
    }
}
