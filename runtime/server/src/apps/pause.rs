//! How long to wait after failures, before the next start.

use std::time::Duration;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// Without a failure for so long beyond the last wait, the next one is the first again.
const CALM: Duration = Duration::from_secs(30);

/// The first failure is taken for a mishap, and costs no wait; after that it is a second, two, four...
#[derive(Debug, Default)]
pub(super) struct Pause {
    count: u32,
    at: Duration,
    length: Duration,
    until: Option<Duration>,
}

impl Pause {
    /// Another failure; `late`: it has cost time enough.
    pub(super) fn failed(&mut self, now: Duration, late: bool) -> Duration {
        if self.count > 0 && now - self.at > self.length + CALM {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.at = now;
        let doubled = self.count.checked_sub(if late { 1 } else { 2 });
        let wait = |doubled: u32| Duration::from_secs(1 << doubled.min(6)).min(LONGEST);
        self.length = doubled.map_or(Duration::ZERO, wait);
        self.until = (!self.length.is_zero()).then_some(now + self.length);
        self.length
    }

    /// No start before then.
    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }

    /// It has been waited for.
    pub(super) fn over(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_the_second_failure_on() {
        let mut pause = Pause::default();
        let mut now = Duration::from_secs(5);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait = pause.failed(now, false);
            waits.push(wait.as_secs());
            now += wait + Duration::from_millis(10);
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause.failed(now + LONGEST + CALM, false), Duration::ZERO);
        assert_eq!(pause.until(), None);
    }

    #[test]
    fn one_that_was_not_ready_in_time_is_not_tried_at_once() {
        assert_eq!(Pause::default().failed(Duration::ZERO, true), Duration::from_secs(1));
    }
}
