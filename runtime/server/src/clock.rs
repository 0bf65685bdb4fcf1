//! The one place that reads a clock and draws randomness.

use std::time::Duration;

/// The process's clock. Times count from its start.
///
/// Reads the kernel's counters directly: an exchange looks at the clock several times, and the
/// standard library's checks would cost more than the reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: u64,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn new() -> Clock {
        Clock { start: nanos(libc::CLOCK_MONOTONIC) }
    }

    /// Since the clock's start; never goes back.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(nanos(libc::CLOCK_MONOTONIC).saturating_sub(self.start))
    }

    /// Milliseconds since the clock's start, as of the kernel's last tick (1 to 10 ms ago): for
    /// timeouts.
    pub(crate) fn millis(&self) -> u64 {
        nanos(libc::CLOCK_MONOTONIC_COARSE).saturating_sub(self.start) / 1_000_000
    }

    /// Wall clock, since 1970, as of the kernel's last tick: for logs.
    pub(crate) fn wall(&self) -> Duration {
        Duration::from_nanos(nanos(libc::CLOCK_REALTIME_COARSE))
    }
}

/// Seconds by which the machine's local time is ahead of UTC then.
pub(crate) fn offset(unix: i64) -> i32 {
    let time = unix as libc::time_t;
    // SAFETY: both are live; zeros are a `tm`, whose `tm_zone` nobody reads.
    let local = unsafe {
        let mut local: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const time, &raw mut local);
        local
    };
    i32::try_from(local.tm_gmtoff).unwrap_or(0)
}

/// Wall clock, since 1970, for what outlives the process.
pub(crate) fn wall() -> Duration {
    Duration::from_nanos(nanos(libc::CLOCK_REALTIME))
}

/// Nanoseconds of the kernel's clock that never goes back: the same for all forms of this process.
pub(crate) fn monotonic() -> u64 {
    nanos(libc::CLOCK_MONOTONIC)
}

/// CPU time of all threads of this process so far.
pub(crate) fn cpu() -> Duration {
    Duration::from_nanos(nanos(libc::CLOCK_PROCESS_CPUTIME_ID))
}

fn nanos(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a writable timespec, and these clocks exist on every Linux that we run on.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Fills `buffer` with unpredictable bytes; what the kernel can't give stays zero, which is told.
pub(crate) fn random(buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        // SAFETY: the pointer and length are those of a live, writable slice.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => filled += n,
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {
            }
            Err(_) => return false,
        }
    }
    true
}
