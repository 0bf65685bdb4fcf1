//! Time as tests tell it: it stands still until everybody waits, then it goes on to the next timer.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Seconds since 1970 when a test begins: 2026-01-01, midnight.
const BEGIN: u64 = 1_767_225_600;
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// A clock. Its clones are the same clock; dictionaries are shared by threads, so it is, too.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Nanoseconds since the test began.
    now: AtomicU64,
    next: AtomicU64,
    /// When whose wait is over.
    waits: Mutex<BTreeSet<(u64, u64)>>,
}

impl Clock {
    fn nanos(&self) -> u64 {
        self.0.now.load(Ordering::Relaxed)
    }

    fn waits(&self) -> MutexGuard<'_, BTreeSet<(u64, u64)>> {
        self.0.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the test began.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }

    /// Seconds since 1970.
    pub(crate) fn wall(&self) -> f64 {
        BEGIN as f64 + self.nanos() as f64 / SECOND as f64
    }

    /// A wait.
    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.elapsed().saturating_add(duration))
    }

    /// A wait until so long after the test's beginning.
    pub(crate) fn sleep_until(&self, at: Duration) -> Sleep {
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let wait = (at, self.0.next.fetch_add(1, Ordering::Relaxed));
        self.waits().insert(wait);
        Sleep { clock: self.clone(), wait }
    }

    /// Goes on to the next wait's end; false when nobody waits for the clock.
    pub(crate) fn advance(&self) -> bool {
        let now = self.nanos();
        // Waits that are over and still there belong to nobody who is asked.
        let next = self.waits().range((now + 1, 0)..).next().map(|wait| wait.0);
        if let Some(next) = next {
            self.0.now.store(next, Ordering::Relaxed);
        }
        next.is_some()
    }
}

/// A wait for the clock.
pub(crate) struct Sleep {
    clock: Clock,
    wait: (u64, u64),
}

impl Sleep {
    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.clock.nanos() >= self.wait.0
    }
}

impl Future for Sleep {
    type Output = ();

    /// Nobody is woken: when the clock goes on, everybody is polled.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.waits().remove(&self.wait);
    }
}
