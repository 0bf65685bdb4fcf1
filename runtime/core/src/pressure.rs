//! How short memory is, by what the kernel says of a cgroup (version 2) and of stalls (PSI).
//!
//! From 0, not at all, to 1, at the limit. Two things count, the worse of them: how much of the limit is in use,
//! without the files' pages that the kernel can drop; and the share of time in which somebody waited for memory.

/// The share of time waited for memory at which it is short, and at which nothing is left.
const STALLS: (f64, f64) = (0.05, 0.4);
/// What these count as, in shares of the limit: where admission begins to tighten, and where it ends.
const SHORT: (f64, f64) = (0.8, 0.98);
/// Stalls of so long ago, in microseconds, count for little.
const MEMORY: f64 = 1_000_000.0;

/// The tighter of `memory.max` and `memory.high`; `None`: there is neither.
pub fn limit(max: &str, high: &str) -> Option<u64> {
    let both = [max, high].into_iter().filter_map(|text| text.trim().parse().ok());
    both.min().filter(|bytes| *bytes > 0)
}

/// Bytes of `memory.current` that the kernel can't drop, by `memory.stat`.
pub fn in_use(current: &str, stat: &str) -> Option<u64> {
    let current: u64 = current.trim().parse().ok()?;
    let of_files = |line: &str| {
        let (name, bytes) = line.split_once(' ')?;
        let counts = matches!(name, "inactive_file" | "active_file");
        counts.then(|| bytes.trim().parse::<u64>().ok())?
    };
    Some(current.saturating_sub(stat.lines().filter_map(of_files).sum()))
}

/// Microseconds in which somebody waited, by `memory.pressure`.
pub fn stalled(psi: &str) -> Option<u64> {
    let some = psi.lines().find(|line| line.starts_with("some "))?;
    some.split(' ').find_map(|part| part.strip_prefix("total="))?.trim().parse().ok()
}

/// Makes one number of it, look by look.
#[derive(Debug, Clone, Default)]
pub struct Gauge {
    /// When it was last looked at, and how long had been waited by then.
    last: Option<(u64, u64)>,
    /// The share of time of late.
    stalls: f64,
}

impl Gauge {
    /// Another look. `now`: microseconds of a clock that never goes back. `used`: the share of the limit.
    pub fn look(&mut self, now: u64, used: Option<f64>, stalled: Option<u64>) -> f64 {
        if let (Some((then, before)), Some(total)) = (self.last, stalled)
            && now > then
        {
            let passed = (now - then) as f64;
            let share = (total.saturating_sub(before) as f64 / passed).min(1.0);
            self.stalls += (share - self.stalls) * (passed / MEMORY).min(1.0);
        }
        self.last = stalled.map(|total| (now, total));
        let (least, most) = STALLS;
        let stalls = match self.stalls {
            share if share < least => share / least * SHORT.0,
            share => SHORT.0 + (share - least) / (most - least) * (SHORT.1 - SHORT.0),
        };
        stalls.max(used.unwrap_or(0.0)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests;
