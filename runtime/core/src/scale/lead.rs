//! How long an instance takes to start.

use super::state::{Reader, Writer};

/// Milliseconds, before one was seen.
const AT_FIRST: f64 = 2000.0;

/// A smoothed time and its deviation, as TCP keeps them of round trips (RFC 6298): the sum of one and a few
/// of the other is what nearly all stay under.
#[derive(Debug, Clone, Default)]
pub(super) struct Lead {
    seen: Option<(f64, f64)>,
}

impl Lead {
    pub(super) fn add(&mut self, millis: u64) {
        let took = millis as f64;
        self.seen = Some(match self.seen {
            None => (took, took / 4.0),
            Some((mean, deviation)) => {
                let deviation = deviation + ((took - mean).abs() - deviation) / 4.0;
                (mean + (took - mean) / 8.0, deviation)
            }
        });
    }

    pub(super) fn millis(&self) -> u64 {
        let (mean, deviation) = self.seen.unwrap_or((AT_FIRST, 0.0));
        (mean + 2.0 * deviation) as u64
    }

    pub(super) fn save(&self, out: &mut Writer) {
        let (mean, deviation) = self.seen.unwrap_or((0.0, 0.0));
        out.small(mean as f32);
        out.small(deviation as f32);
    }

    pub(super) fn load(from: &mut Reader<'_>) -> Option<Lead> {
        let (mean, deviation) = (f64::from(from.small()?), f64::from(from.small()?));
        Some(Lead { seen: (mean > 0.0).then_some((mean, deviation)) })
    }
}
