//! Ways out of compiled code, which sees no hook: opened as one is set, closed as it is taken away
//! (`runtime/luajit/asm.c`).

use std::os::raw::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

/// Those of a VM; null while they are closed, [`AT_WORK`] while they are opened or closed.
pub(super) struct Ways(AtomicPtr<c_void>);

const AT_WORK: *mut c_void = ptr::dangling_mut();

impl Ways {
    pub(super) const fn closed() -> Ways {
        Ways(AtomicPtr::new(ptr::null_mut()))
    }

    pub(super) fn are_closed(&self) -> bool {
        self.0.load(Relaxed).is_null()
    }

    /// Whether they are open then. Safe in a signal handler, which may come in the midst of it.
    ///
    /// # Safety
    /// On the VM's own thread, with the VM alive.
    pub(super) unsafe fn open(&self, state: *mut lua_State) -> bool {
        if self.are_closed() {
            self.0.store(AT_WORK, Relaxed);
            // SAFETY: by the caller.
            self.0.store(unsafe { lua::pl_open_ways_out(state) }, Relaxed);
        }
        !self.are_closed()
    }

    /// # Safety
    /// As above, and not in a signal handler.
    pub(super) unsafe fn close(&self, state: *mut lua_State) {
        let opened = self.0.swap(AT_WORK, Relaxed);
        if !opened.is_null() {
            // SAFETY: by the caller; they are this VM's, and no handler has left them half opened.
            unsafe { lua::pl_close_ways_out(state, opened) };
        }
        self.0.store(ptr::null_mut(), Relaxed);
    }
}

/// Where a way out is a trap: its handler goes out there.
#[cfg(target_arch = "x86_64")]
pub(super) mod trap {
    use std::os::raw::{c_int, c_void};
    use std::ptr;
    use std::sync::atomic::Ordering::Relaxed;

    use libc::{REG_RIP, SA_RESTART, SA_SIGINFO, SIG_DFL, SIGTRAP, greg_t, siginfo_t, ucontext_t};
    use pilotlight_luajit as lua;

    use crate::watchdog::CURRENT;

    /// Bytes of a trap, which has been passed when its handler runs.
    const LENGTH: greg_t = 1;

    pub(in crate::watchdog) fn handle() {
        // SAFETY: the handler touches what is of its own thread.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_trap as extern "C" fn(c_int, _, _) as usize;
            action.sa_flags = SA_RESTART | SA_SIGINFO;
            libc::sigaction(SIGTRAP, &raw const action, ptr::null_mut());
        }
    }

    /// On this thread: the kernel kills a process whose trap is blocked.
    pub(in crate::watchdog) fn unblock() {
        // SAFETY: changes this thread's mask.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, SIGTRAP);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
        }
    }

    extern "C" fn on_trap(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel's; slots are never freed, and what they hold is open.
        unsafe {
            let at = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs[REG_RIP as usize];
            let opened = CURRENT.get().as_ref().map(|slot| slot.ways.0.load(Relaxed));
            let out = match opened.filter(|opened| !opened.is_null()) {
                Some(opened) => lua::pl_way_out_at(opened, (*at - LENGTH) as *mut c_void),
                None => ptr::null_mut(),
            };
            if !out.is_null() {
                *at = out as greg_t;
                return;
            }
            // Another's ends the process, as it would without a handler.
            libc::signal(SIGTRAP, SIG_DFL);
            libc::raise(SIGTRAP);
        }
    }
}
