//! The one place that reads a clock and draws randomness.

use std::time::{Duration, Instant, SystemTime};

/// A worker's clock. Milliseconds count from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

#[allow(clippy::disallowed_methods)]
impl Clock {
    /// A clock that starts now.
    pub(crate) fn new() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Since the clock's start; never goes back.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Milliseconds since the clock's start.
    pub(crate) fn millis(&self) -> u64 {
        self.elapsed().as_millis() as u64
    }

    /// Wall clock, since 1970.
    pub(crate) fn wall(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

/// Fills `buffer` with unpredictable bytes; what the kernel can't give stays zero.
pub(crate) fn random(buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        // SAFETY: the pointer and length are those of a live, writable slice.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => filled += n,
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {
            }
            Err(_) => return,
        }
    }
}
