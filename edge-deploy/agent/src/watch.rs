//! Probation: whether a gateway does with its new release at least as well as before.

use std::time::Duration;

use pilotlight_fleet::manifest::Safety;
use pilotlight_fleet::rollout::Failure;
use serde::{Deserialize, Serialize};

/// How a gateway does, now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observation {
    /// It answers, and says that it is ready.
    pub ready: bool,
    /// What it has counted, if it said.
    pub counters: Option<Counters>,
}

/// What a gateway counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests.
    pub requests: u64,
    /// Those that were answered with 5xx.
    pub errors: u64,
    /// Failures of filters.
    pub filter_errors: u64,
}

impl Counters {
    /// Since then. A gateway that was restarted has begun anew.
    fn since(self, then: Counters) -> Counters {
        match self.requests >= then.requests {
            true => Counters {
                requests: self.requests - then.requests,
                errors: self.errors.saturating_sub(then.errors),
                filter_errors: self.filter_errors.saturating_sub(then.filter_errors),
            },
            false => self,
        }
    }

    fn ratio(self, count: u64) -> f64 {
        count as f64 / self.requests.max(1) as f64
    }
}

/// Not ready for so long, it will not be.
const READY_WITHIN: Duration = Duration::from_secs(8);
/// Fewer requests say nothing about a ratio.
const REQUESTS: u64 = 20;
/// What may be worse than before by chance.
const SLACK: f64 = 0.05;

/// A probation.
#[derive(Debug)]
pub(crate) struct Watch {
    /// When it began.
    pub(crate) since: Duration,
    ready: Duration,
    /// What had been counted when it began, by the gateway that ran before.
    before: Counters,
}

impl Watch {
    pub(crate) fn new(now: Duration, before: Counters) -> Watch {
        Watch { since: now, ready: now, before }
    }

    /// Whether the gateway was ready when it was looked at just now.
    pub(crate) fn is_ready(&self, now: Duration) -> bool {
        self.ready == now && now > self.since
    }

    /// What is wrong with the release.
    pub(crate) fn judge(
        &mut self,
        now: Duration,
        safety: &Safety,
        seen: Observation,
    ) -> Option<(Failure, String)> {
        if seen.ready {
            self.ready = now;
        } else if now.saturating_sub(self.ready) >= READY_WITHIN {
            let seconds = READY_WITHIN.as_secs();
            return Some((Failure::Probe, format!("not ready for {seconds} s")));
        }
        let then = self.before;
        let now = seen.counters?.since(then);
        let worse = |count: u64, was: u64| now.ratio(count) > 2.0 * then.ratio(was) + SLACK;
        if now.filter_errors >= safety.exits && worse(now.filter_errors, then.filter_errors) {
            return Some((
                Failure::CrashLoop,
                format!("filters failed {} times in {} requests", now.filter_errors, now.requests),
            ));
        }
        if now.requests >= REQUESTS && worse(now.errors, then.errors) {
            return Some((
                Failure::Slo,
                format!("{} of {} requests were answered with 5xx", now.errors, now.requests),
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pilotlight_fleet::manifest::Confirm;

    const S: Duration = Duration::from_secs(1);

    fn safety() -> Safety {
        let (within, confirm_in) = (60 * S, 180 * S);
        Safety {
            exits: 3,
            within,
            confirm: Confirm::Local,
            confirm_in,
            silence: 30 * S,
            fallback: None,
        }
    }

    fn seen(requests: u64, errors: u64, filter_errors: u64) -> Observation {
        let counters = Counters { requests, errors, filter_errors };
        Observation { ready: true, counters: Some(counters) }
    }

    #[test]
    fn worse_than_before_is_bad_and_as_bad_is_not() {
        let judge = |before: Observation, after: Observation| {
            let mut watch = Watch::new(S, before.counters.unwrap_or_default());
            watch.judge(2 * S, &safety(), after).map(|(failure, _)| failure)
        };
        assert_eq!(judge(seen(0, 0, 0), seen(3, 3, 3)), Some(Failure::CrashLoop));
        assert_eq!(judge(seen(0, 0, 0), seen(2, 2, 2)), None);
        assert_eq!(judge(seen(1000, 0, 0), seen(1030, 10, 0)), Some(Failure::Slo));
        // It was so before; chance; too few to tell; a gateway that counts anew.
        assert_eq!(judge(seen(1000, 400, 400), seen(1100, 440, 440)), None);
        assert_eq!(judge(seen(1000, 0, 0), seen(2000, 20, 20)), None);
        assert_eq!(judge(seen(1000, 0, 0), seen(1010, 10, 0)), None);
        assert_eq!(judge(seen(1000, 0, 0), seen(10, 10, 10)), Some(Failure::CrashLoop));
    }

    #[test]
    fn a_gateway_that_is_not_ready_has_some_seconds() {
        let mut watch = Watch::new(S, Counters::default());
        let away = Observation::default();
        assert_eq!(watch.judge(5 * S, &safety(), away), None);
        assert_eq!(watch.judge(6 * S, &safety(), seen(0, 0, 0)), None);
        assert_eq!(watch.judge(13 * S, &safety(), away), None);
        let failure = watch.judge(15 * S, &safety(), away).map(|(failure, _)| failure);
        assert_eq!(failure, Some(Failure::Probe));
    }
}
