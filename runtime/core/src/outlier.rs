//! Endpoints whose answers are errors, one after the other: they get no requests for a while.

use std::collections::VecDeque;
use std::time::Duration;

use pilotlight_config::manifest;

/// The longest that an endpoint is out, by its first time.
const TIMES_MAX: u32 = 10;

/// What exchanges have shown of an endpoint. Times are milliseconds of a clock that never goes back.
#[derive(Debug, Clone, Default)]
pub struct Outlier {
    /// When its last answers were errors, oldest first; empty after any other.
    errors: VecDeque<u64>,
    /// Ejections, of which those are forgiven that lie long enough behind.
    times: u32,
    until: Option<u64>,
    back_since: u64,
}

impl Outlier {
    /// As it was when somebody last looked.
    pub fn remembered(times: u32, until: Option<u64>, now: u64) -> Outlier {
        Outlier { errors: VecDeque::new(), times, until, back_since: now }
    }

    /// How often it was ejected of late.
    pub fn times(&self) -> u32 {
        self.times
    }

    /// Until when it is out, if it is.
    pub fn until(&self) -> Option<u64> {
        self.until
    }

    /// Whether its last answer was an error.
    pub fn is_in_trouble(&self) -> bool {
        !self.errors.is_empty()
    }

    /// It has answered with an error, or not at all. True: that is one too many.
    pub fn erred(&mut self, now: u64, rules: &manifest::Outlier) -> bool {
        if self.until.is_some() {
            // What was under way when it was ejected.
            return false;
        }
        let since = now.saturating_sub(millis(rules.window));
        while self.errors.front().is_some_and(|error| *error < since) {
            self.errors.pop_front();
        }
        if self.errors.len() >= rules.errors as usize {
            self.errors.pop_front();
        }
        self.errors.push_back(now);
        self.errors.len() >= rules.errors as usize
    }

    /// It has answered well.
    pub fn answered(&mut self) {
        self.errors.clear();
    }

    /// It gets no requests from now on; says for how many milliseconds.
    pub fn eject(&mut self, now: u64, rules: &manifest::Outlier) -> u64 {
        let first = millis(rules.eject).max(1);
        let forgiven = now.saturating_sub(self.back_since) / first;
        self.times = self.times.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        self.times = self.times.saturating_add(1).min(TIMES_MAX);
        let time = first.saturating_mul(u64::from(self.times));
        self.errors.clear();
        self.until = Some(now + time);
        time
    }

    /// Its time is over, or it is needed.
    pub fn come_back(&mut self, now: u64) {
        (self.until, self.back_since) = (None, now);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
