//! Waits that are shorter than the step of the runtime's timers, a millisecond.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// From here on the runtime's timers do.
const LONG: Duration = Duration::from_millis(4);

/// Waits for so long.
pub(super) async fn sleep(wait: Duration) {
    if wait < LONG
        && let Ok(timer) = timer(wait)
    {
        drop(timer.readable().await);
        return;
    }
    tokio::time::sleep(wait).await;
}

/// A descriptor that becomes readable then.
fn timer(wait: Duration) -> io::Result<AsyncFd<OwnedFd>> {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Zero would be never.
    let once = libc::timespec { tv_nsec: wait.subsec_nanos().max(1) as libc::c_long, ..never };
    let times = libc::itimerspec { it_interval: never, it_value: once };
    // SAFETY: the new descriptor is nobody's yet; the times are read within the call.
    let timer = unsafe {
        let fd =
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let timer = OwnedFd::from_raw_fd(fd);
        if libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const times, std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        timer
    };
    // SAFETY: the descriptor is the handle's own, and open as long as that is.
    unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }.map_err(Into::into)
}
