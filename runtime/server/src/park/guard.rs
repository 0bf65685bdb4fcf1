//! A gateway that crashes while it wakes goes back to where it came from.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::plan::{self, Plan};
use super::{PARKED, woken};
use crate::clock;

/// What ends a process by its own fault.
const CRASHES: [c_int; 5] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGILL, libc::SIGFPE];

/// The plan to go back to.
static PLAN: AtomicPtr<Plan> = AtomicPtr::new(ptr::null_mut());

/// What the signals did before.
struct Before(UnsafeCell<[libc::sigaction; CRASHES.len()]>);
// SAFETY: written before there are threads, read by handlers.
unsafe impl Sync for Before {}
// SAFETY: zeros are an action of the default kind.
static BEFORE: Before = Before(UnsafeCell::new(unsafe { std::mem::zeroed() }));

/// From now on a crash leads back to the parked form. Called before there are threads.
pub(super) fn arm(plan: &'static Plan) {
    PLAN.store(ptr::from_ref(plan).cast_mut(), Ordering::Release);
    for (at, signal) in CRASHES.into_iter().enumerate() {
        // SAFETY: a handler of the right kind; the old action goes to a place of its own.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = crashed as extern "C" fn(c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigaction(
                signal,
                &raw const action,
                BEFORE.0.get().cast::<libc::sigaction>().add(at),
            );
        }
    }
}

/// It has served for a while: a crash is a crash again.
pub(super) fn disarm() {
    PLAN.store(ptr::null_mut(), Ordering::Release);
}

/// Says so and turns; system calls alone.
extern "C" fn crashed(signal: c_int) {
    let plan = PLAN.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: a plan that was armed lives as long as the process; the rest are plain system calls.
    unsafe {
        if let Some(plan) = plan.as_ref() {
            let said =
                b"{\"level\":\"error\",\"message\":\"crashed while it woke, parked again\"}\n";
            libc::write(2, said.as_ptr().cast(), said.len());
            // Signals that come from here on are for the next form.
            woken::block_signals(true);
            plan.failed(clock::monotonic());
            plan::become_next(PARKED);
            plan.turn(plan::environment());
        }
        // What would have happened without us happens now: the fault comes again.
        if let Some(at) = CRASHES.iter().position(|one| *one == signal) {
            let before = BEFORE.0.get().cast::<libc::sigaction>().add(at);
            libc::sigaction(signal, before, ptr::null_mut());
        }
    }
}
