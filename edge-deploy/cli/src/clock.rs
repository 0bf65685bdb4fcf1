//! Time and signals: the one place of this binary that reads the clock, and that waits.

use std::io;
use std::time::{Duration, Instant, SystemTime};

/// Time since some start; it only rises.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the clock")]
    pub(crate) fn new() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// Seconds since 1970, as far as this machine knows.
    #[expect(clippy::disallowed_methods, reason = "the clock")]
    pub(crate) fn wall() -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

/// Signals that a process takes when it looks for them, and not before.
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    /// From now on they wait. Processes that are started have none blocked: the standard library sees to it.
    pub(crate) fn block(signals: &[libc::c_int]) -> io::Result<Signals> {
        // SAFETY: a set of signals is plain bytes, and is filled before it is read.
        let mut set = unsafe { std::mem::zeroed() };
        // SAFETY: the set is ours; no other thread has been started yet that would keep the old mask.
        let failed = unsafe {
            libc::sigemptyset(&mut set);
            for signal in signals {
                libc::sigaddset(&mut set, *signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())
        };
        if failed == 0 { Ok(Signals(set)) } else { Err(io::Error::from_raw_os_error(failed)) }
    }

    /// Waits for one of them, so long at most.
    pub(crate) fn wait(&self, most: Duration) -> Option<libc::c_int> {
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(most.as_secs()).unwrap_or(libc::time_t::MAX),
            // Less than a thousand million.
            tv_nsec: most.subsec_nanos() as libc::c_long,
        };
        // SAFETY: both point to values that live through the call.
        let signal = unsafe { libc::sigtimedwait(&self.0, std::ptr::null_mut(), &time) };
        (signal > 0).then_some(signal)
    }
}
