//! Work in C that runs long without looking whether it should stop: the watchdog leaves it.
//!
//! ```text
//! may_leave ─ sigsetjmp ─ PCRE2 at work ──────────── its result
//!                 ▲            │ signal
//!                 └─ siglongjmp ┘ nothing of ours stands between: LEFT
//! ```
//! What is left behind are frames of C, which hold nothing but memory that its owner knows (see
//! `regex/memory.rs`). Inside an allocation nothing is left: the watchdog comes again.

use std::os::raw::{c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicPtr};

/// What [`may_leave`] answers when the work was left.
pub(crate) const LEFT: c_int = c_int::MIN;

thread_local! {
    /// Where the work under way is left to; null when there is none.
    static PLACE: AtomicPtr<c_void> = const { AtomicPtr::new(ptr::null_mut()) };
    /// Whether it is inside an allocation.
    static HELD: AtomicBool = const { AtomicBool::new(false) };
}

unsafe extern "C" {
    fn pl_may_leave(
        place: *mut *mut c_void,
        work: unsafe extern "C" fn(*mut c_void) -> c_int,
        argument: *mut c_void,
        left: c_int,
    ) -> c_int;
    fn pl_leave(place: *mut c_void) -> !;
}

/// Runs `work`, which the watchdog may leave: then the answer is [`LEFT`].
///
/// # Safety
/// `work` takes `argument` and may end anywhere outside of [`held`]: it and what it calls drop
/// nothing, hold no lock, and do not run `may_leave` again.
pub(crate) unsafe fn may_leave(
    work: unsafe extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> c_int {
    let place = PLACE.with(AtomicPtr::as_ptr);
    // SAFETY: the place is this thread's; the rest by the caller.
    unsafe { pl_may_leave(place, work, argument, LEFT) }
}

/// Runs a part of the work that must come to its end.
pub(crate) fn held<T>(part: impl FnOnce() -> T) -> T {
    HELD.with(|held| held.store(true, Relaxed));
    let result = part();
    HELD.with(|held| held.store(false, Relaxed));
    result
}

/// Leaves the work under way, if there is any: for the watchdog's handler, on `signal`, which is
/// blocked as long as the handler runs.
pub(crate) fn leave(signal: c_int) {
    if HELD.with(|held| held.load(Relaxed)) {
        return;
    }
    let place = PLACE.with(|place| place.swap(ptr::null_mut(), Relaxed));
    if place.is_null() {
        return;
    }
    // SAFETY: a handler that does not return must unblock its signal itself. The place is that of
    // a frame of `pl_may_leave` below this one, and all frames between are C's or this handler's,
    // which have nothing to drop.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
        pl_leave(place);
    }
}
