//! Stops scripts that run too long, compiled loops too.
//!
//! ```text
//! worker     arm ── script ───────────────────────────── handler: lua_sethook ─ error ─▶ out
//! watchdog        tick: first seen ─ tick ─ over budget: tgkill ──┘ (again each tick until it ends)
//! ```
//! The same way a script is asked where it stands, once it has held its worker for long (`ticks.rs`).
//!
//! Arming is two stores: the watchdog reads the worker's CPU clock itself, when a tick finds a call
//! under way. The hook is set from a signal on the worker's own thread, because setting it from
//! another one would race with the VM. Compiled code does not see it: the handler opens ways out of
//! that (`runtime/luajit/asm.c`), and whoever takes the hook away closes them.

mod ticks;
mod ways;

use std::cell::Cell;
use std::os::raw::c_int;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU64, Ordering::*};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use crate::guard::tell_without_stack;
use crate::leave::leave;
use crate::vm::stall_hook;
use crate::watchdog::ticks::{Seen, watch};
use crate::watchdog::ways::Ways;

/// How often the watchdog looks, while scripts run; one that it has seen is stopped to the point.
const TICK: Duration = Duration::from_millis(3);
/// Registry place of the message that the hook raises: made early, so raising allocates nothing.
pub(crate) const KILL_MESSAGE: i32 = 1;

/// A VM's place in the watchdog's list. Never freed, reused.
struct Slot {
    /// Odd while a call is under way; grows with each.
    entry: AtomicU64,
    /// CPU time of the call, nanoseconds.
    budget: AtomicU64,
    /// The entry that must end.
    kill: AtomicU64,
    /// The entry that is asked where it stands; 0 once it has said so.
    ask: AtomicU64,
    /// What has become of the call under way: [`KILLED`], [`STALLED`], [`BROKEN`].
    signs: AtomicU8,
    thread: AtomicI32,
    clock: AtomicI32,
    state: AtomicPtr<lua_State>,
    /// Out of its compiled code.
    ways: Ways,
}

/// A call that is being stopped.
pub(crate) const KILLED: u8 = 1;
/// One that was asked where it stands.
pub(crate) const STALLED: u8 = 2;
/// One under which a call of the host's has panicked.
pub(crate) const BROKEN: u8 = 4;
/// Signs of a call that ends at its next instruction.
const ENDS: u8 = KILLED | BROKEN;

#[derive(Default)]
struct Slots {
    /// Each with what the watchdog knows of it.
    all: Vec<(&'static Slot, Seen)>,
    free: Vec<&'static Slot>,
}

static SLOTS: Mutex<Slots> = Mutex::new(Slots { all: Vec::new(), free: Vec::new() });
static PARKED: AtomicBool = AtomicBool::new(false);
static WATCHER: OnceLock<Thread> = OnceLock::new();

thread_local! {
    /// The slot of the call under way on this thread; read by the signal handler.
    static CURRENT: Cell<*const Slot> = const { Cell::new(ptr::null()) };
    /// CPU time of this thread that its scripts are not asked for, and the pause under way: since
    /// when, and the budget to go on with.
    static SPARED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static PAUSE: Cell<(Duration, u64)> = const { Cell::new((Duration::ZERO, 0)) };
}

/// A VM's hold on the watchdog.
pub(crate) struct Watch(&'static Slot);

impl Watch {
    /// Registers the VM of this thread.
    pub(crate) fn new(state: *mut lua_State) -> Watch {
        start();
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.free.pop().unwrap_or_else(|| {
            let slot: &'static Slot = Box::leak(Box::new(Slot {
                entry: AtomicU64::new(0),
                budget: AtomicU64::new(0),
                kill: AtomicU64::new(0),
                ask: AtomicU64::new(0),
                signs: AtomicU8::new(0),
                thread: AtomicI32::new(0),
                clock: AtomicI32::new(0),
                state: AtomicPtr::new(ptr::null_mut()),
                ways: Ways::closed(),
            }));
            slots.all.push((slot, Seen::default()));
            slot
        });
        let mut clock: libc::clockid_t = 0;
        // SAFETY: asks for the ids of the calling thread.
        unsafe {
            libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock);
            #[cfg(target_arch = "x86_64")]
            ways::trap::unblock();
            slot.thread.store(libc::syscall(libc::SYS_gettid) as i32, Relaxed);
        }
        slot.clock.store(clock, Relaxed);
        slot.state.store(state, Relaxed);
        slot.signs.store(0, Relaxed);
        Watch(slot)
    }

    /// A script begins, with this much CPU time.
    #[inline]
    pub(crate) fn arm(&self, budget: Duration) {
        CURRENT.set(self.0);
        self.0.budget.store(budget.as_nanos() as u64, Relaxed);
        self.0.entry.store(self.0.entry.load(Relaxed) + 1, SeqCst);
        // One with little time left is not kept waiting for the next tick.
        if (PARKED.load(SeqCst) || budget < TICK)
            && let Some(watcher) = WATCHER.get()
        {
            watcher.unpark();
        }
    }

    /// It has ended or waits: the signs of what became of it.
    #[inline]
    pub(crate) fn disarm(&self) -> u8 {
        self.0.entry.store(self.0.entry.load(Relaxed) + 1, Release);
        CURRENT.set(ptr::null());
        self.0.signs.load(Relaxed)
    }

    /// Whether the call under way is being stopped.
    pub(crate) fn fired(&self) -> bool {
        self.0.signs.load(Relaxed) & ENDS != 0
    }

    /// The call under way has said where it stands.
    pub(crate) fn noted(&self) {
        self.0.ask.store(0, Relaxed);
    }

    /// After a call that was asked where it stands.
    pub(crate) fn forget_stall(&self) {
        self.0.signs.fetch_and(!STALLED, Relaxed);
    }

    /// After a stopped call: ready for the next.
    pub(crate) fn reset(&self) {
        self.0.signs.store(0, Relaxed);
    }

    /// Takes the hook away, and compiled code runs again.
    ///
    /// # Safety
    /// `state` is of the VM that this watches, and alive; not in a signal handler.
    pub(crate) unsafe fn unhook(&self, state: *mut lua_State) {
        // SAFETY: by the caller.
        unsafe {
            lua::lua_sethook(state, None, 0, 0);
            self.0.ways.close(state);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(self.0.ways.are_closed(), "no hook outlives a call");
        self.0.state.store(ptr::null_mut(), Relaxed);
        slots.free.push(self.0);
    }
}

/// Whether the script of this thread is being stopped: our longer functions look now and then.
pub(crate) fn stopping() -> bool {
    let slot = CURRENT.get();
    // SAFETY: slots are never freed.
    !slot.is_null() && unsafe { (*slot).signs.load(Relaxed) & ENDS != 0 }
}

/// Whether a script is under way on this thread.
pub(crate) fn is_at_work() -> bool {
    !CURRENT.get().is_null()
}

/// Ends the call under way on this thread: its host has failed it. Whose it is, if there is one.
pub(crate) fn break_off() -> Option<*mut lua_State> {
    // SAFETY: slots are never freed.
    let slot = unsafe { CURRENT.get().as_ref() }?;
    let state = slot.state.load(Relaxed);
    slot.signs.fetch_or(BROKEN, Relaxed);
    // SAFETY: this is the VM's thread, and a call is under way, so the VM is alive.
    unsafe { set_kill_hook(state) };
    Some(state)
}

/// Until `proceed`, the call under way on this thread is at work of the host's own, which ends by
/// itself: its script's time stands still.
pub(crate) fn pause() {
    // SAFETY: slots are never freed.
    let Some(slot) = (unsafe { CURRENT.get().as_ref() }) else { return };
    PAUSE.set((thread_cpu(), slot.budget.swap(u64::MAX / 2, Relaxed)));
}

/// The script goes on.
pub(crate) fn proceed() {
    // SAFETY: slots are never freed.
    let Some(slot) = (unsafe { CURRENT.get().as_ref() }) else { return };
    let (since, budget) = PAUSE.get();
    let spared = thread_cpu().saturating_sub(since);
    SPARED.set(SPARED.get() + spared);
    slot.budget.store(budget.saturating_add(spared.as_nanos() as u64), Relaxed);
}

/// CPU time of the calling thread, without what `pause` has spared its scripts.
pub(crate) fn script_cpu() -> Duration {
    thread_cpu().saturating_sub(SPARED.get())
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    cpu(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()
}

fn cpu(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills `time`; an id of a thread that has ended is an error, not undefined.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    (!failed).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Ends the script: at every instruction, so that no `pcall` holds it for long.
///
/// A yield leaves a coroutine in one step, however many `pcall`s it has piled up; each costs
/// microseconds to unwind. Where C is in between only an error gets out.
pub(crate) unsafe extern "C-unwind" fn kill_hook(state: *mut lua_State, _: *mut lua::lua_Debug) {
    // SAFETY: a hook has stack to spare; this frame owns nothing that unwinding would skip.
    unsafe {
        lua::lua_yield(state, 0);
        // Came back: this coroutine can't yield here (that would have been an error).
        lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, KILL_MESSAGE);
        lua::lua_error(state);
    }
}

/// Makes the VM raise from its next instruction on. Safe in a signal handler.
///
/// # Safety
/// On the VM's own thread, with the VM alive.
pub(crate) unsafe fn set_kill_hook(state: *mut lua_State) {
    // SAFETY: by the caller.
    unsafe { set_hook(state, kill_hook) };
}

/// Makes the VM call `hook` at its next instruction: whether compiled code is left for it now. Safe in a
/// signal handler.
///
/// # Safety
/// On the VM's own thread, with the VM alive. The hook may be called from any of its coroutines.
pub(crate) unsafe fn set_hook(
    state: *mut lua_State,
    hook: unsafe extern "C-unwind" fn(*mut lua_State, *mut lua::lua_Debug),
) -> bool {
    // An earlier try may have been half undone by the update it interrupted: off, then on.
    // SAFETY: by the caller; slots are never freed.
    unsafe {
        lua::lua_sethook(state, None, 0, 0);
        lua::lua_sethook(state, Some(hook), lua::LUA_MASKCOUNT, 1);
        CURRENT.get().as_ref().is_none_or(|slot| slot.ways.open(state))
    }
}

extern "C" fn on_signal(_: c_int) {
    let slot = CURRENT.get();
    if slot.is_null() {
        return;
    }
    // SAFETY: slots are never freed.
    let slot = unsafe { &*slot };
    let (entry, state) = (slot.entry.load(Relaxed), slot.state.load(Relaxed));
    if entry & 1 == 0 {
        return;
    }
    if slot.kill.load(Relaxed) == entry {
        slot.signs.fetch_or(KILLED, Relaxed);
        // SAFETY: this is the VM's thread, and a call is under way, so the VM is alive.
        unsafe { set_kill_hook(state) };
        leave(signal());
        return;
    }
    if slot.ask.load(Relaxed) == entry {
        // SAFETY: as above. Whatever else has a hook there goes first: the watchdog asks again.
        unsafe {
            if let Some(hook) = lua::lua_gethook(state) {
                set_hook(state, hook);
                return;
            }
            slot.signs.fetch_or(STALLED, Relaxed);
            set_hook(state, stall_hook);
        }
    }
}

fn signal() -> c_int {
    libc::SIGRTMIN() + 6
}

fn start() {
    WATCHER.get_or_init(|| {
        tell_without_stack();
        // SAFETY: the handler touches only atomics and the VM of its own thread.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal(), &raw const action, ptr::null_mut());
        }
        #[cfg(target_arch = "x86_64")]
        ways::trap::handle();
        let spawned = std::thread::Builder::new()
            .name("lua-watchdog".into())
            .stack_size(64 * 1024)
            .spawn(watch);
        match spawned {
            Ok(handle) => handle.thread().clone(),
            // Without a watchdog there are no limits: better not to run scripts at all.
            Err(_) => std::process::abort(),
        }
    });
}
