//! Looks how short memory is, and tells the gates: as long as a worker is awake, and the manifest has any.

use std::fs::read_to_string as read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pilotlight_core::pressure::{Gauge, in_use, limit, stalled};
use pilotlight_filter::host::Level;

use crate::clock::Clock;
use crate::control::Control;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Memory is short from the first on, and is not any more below the second: for the log.
const SHORT: (f64, f64) = (0.8, 0.7);
/// Where the kernel shows cgroups (version 2).
const ROOT: &str = "/sys/fs/cgroup";

/// What was last seen, for metrics and `status`.
#[derive(Default)]
pub(crate) struct Pressure {
    /// The bits of a number from 0 to 1.
    level: AtomicU64,
    /// Bytes; 0: there is none.
    limit: AtomicU64,
}

impl Pressure {
    /// From 0, not at all short, to 1.
    pub(crate) fn level(&self) -> f64 {
        f64::from_bits(self.level.load(Ordering::Relaxed))
    }

    /// What the cgroup may use.
    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|limit| *limit > 0)
    }
}

/// Runs as long as there are gates.
pub(crate) async fn watch(control: Arc<Control>, clock: Clock) {
    let cgroup = Cgroup::find(Path::new(ROOT), &read("/proc/self/cgroup").unwrap_or_default());
    let mut gauge = Gauge::default();
    let mut short = false;
    loop {
        control.memory.awake().await;
        let (used, limit) = cgroup.used();
        let now = clock.elapsed().as_micros() as u64;
        let level = gauge.look(now, used, cgroup.stalled());
        control.pressure.level.store(level.to_bits(), Ordering::Relaxed);
        control.pressure.limit.store(limit.unwrap_or(0), Ordering::Relaxed);
        control.generation().gates.iter().for_each(|(_, gate)| gate.memory(level));
        if short != (level >= if short { SHORT.1 } else { SHORT.0 }) {
            short = !short;
            let level = format!("{level:.2}");
            let text = if short { "memory is short" } else { "memory is not short any more" };
            control.log.event(Level::Warn, text, &[("pressure", &level)]);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// This process's cgroup and those around it, the innermost first.
struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    /// `told`: what `/proc/self/cgroup` says.
    fn find(root: &Path, told: &str) -> Cgroup {
        let path = told.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let inner = root.join(path.trim_start_matches('/'));
        let all = inner.ancestors().take_while(|folder| folder.starts_with(root));
        Cgroup(all.map(Path::to_path_buf).collect())
    }

    /// The share of its limit that the fullest uses, and that limit. Both may change at any time.
    fn used(&self) -> (Option<f64>, Option<u64>) {
        let mut fullest: Option<(f64, u64)> = None;
        for folder in &self.0 {
            let said = |name: &str| read(folder.join(name)).unwrap_or_default();
            let Some(limit) = limit(&said("memory.max"), &said("memory.high")) else { continue };
            let Some(used) = in_use(&said("memory.current"), &said("memory.stat")) else {
                continue;
            };
            let share = used as f64 / limit as f64;
            if fullest.is_none_or(|(most, _)| share > most) {
                fullest = Some((share, limit));
            }
        }
        fullest.unzip()
    }

    fn stalled(&self) -> Option<u64> {
        let own = self.0.first().map(|folder| folder.join("memory.pressure"));
        let said = own.and_then(|path| read(path).ok()).filter(|text| !text.is_empty());
        stalled(&said.or_else(|| read("/proc/pressure/memory").ok())?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
