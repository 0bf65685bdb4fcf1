//! The watchdog's own thread: how long the calls under way have run, and what they are told.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::*;
use std::time::Duration;

use super::{PARKED, SLOTS, Slot, TICK, cpu, signal};

/// Looks are no closer to each other.
const TICK_LEAST: Duration = Duration::from_micros(500);
/// What holds a worker this long is asked where it stands.
const STALL: Duration = Duration::from_millis(20);
/// Ticks without any script after which it sleeps until one begins.
const LINGER: u32 = 40;

/// What the watchdog knows of a call under way.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    entry: u64,
    /// CPU time of its thread, and the time, when it was first seen.
    cpu: Duration,
    at: Duration,
    asked: bool,
}

pub(super) fn watch() {
    let mut idle = 0;
    loop {
        let next = look();
        idle = if next.is_some() { 0 } else { idle + 1 };
        if idle < LINGER {
            std::thread::park_timeout(next.unwrap_or(TICK));
            continue;
        }
        PARKED.store(true, SeqCst);
        // A call that began before it could see the flag is seen here.
        if look().is_none() {
            std::thread::park();
        }
        PARKED.store(false, SeqCst);
        idle = 0;
    }
}

/// One look at all slots: how soon the next is due, if any was in use since the last.
fn look() -> Option<Duration> {
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut next = None;
    for (slot, seen) in &mut slots.all {
        let entry = slot.entry.load(SeqCst);
        let running = entry & 1 == 1;
        if running || entry != seen.entry {
            next = next.or(Some(TICK));
        }
        if !running {
            seen.entry = entry;
            continue;
        }
        let Some(now) = cpu(slot.clock.load(Relaxed)) else { continue };
        let at = cpu(libc::CLOCK_MONOTONIC).unwrap_or_default();
        if entry != seen.entry {
            *seen = Seen { entry, cpu: now, at, asked: false };
        }
        let budget = Duration::from_nanos(slot.budget.load(Relaxed));
        let left = budget.saturating_sub(now.saturating_sub(seen.cpu));
        if left.is_zero() {
            slot.kill.store(entry, Relaxed);
            signal_to(slot);
            continue;
        }
        let patience = STALL.saturating_sub(at.saturating_sub(seen.at));
        let due = if patience.is_zero() { left } else { left.min(patience) };
        next = next.map(|next| next.min(due).max(TICK_LEAST));
        if patience.is_zero() && !std::mem::replace(&mut seen.asked, true) {
            slot.ask.store(entry, Relaxed);
        }
        if slot.ask.load(Relaxed) == entry {
            signal_to(slot);
        }
    }
    next
}

fn signal_to(slot: &Slot) {
    // SAFETY: a signal to a thread of this process; one that has ended is an error.
    unsafe {
        let thread = slot.thread.load(Relaxed);
        libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal());
    }
}
