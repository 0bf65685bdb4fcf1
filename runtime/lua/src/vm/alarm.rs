//! What happens when a VM's memory runs out: it is collected, and then its script ends.

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use super::vm_of;
use crate::arena::{Arena, Pressure};
use crate::watchdog::{set_hook, set_kill_hook};

/// Told by the arena that memory runs out.
pub(super) struct Alarm {
    pub(super) state: *mut lua_State,
    /// A collection was asked for, and has not been.
    pub(super) asked: bool,
    pub(super) refused: bool,
}

impl Pressure for Alarm {
    fn collect(&mut self) -> bool {
        self.asked = true;
        // A collection can't run inside an allocation: the hook runs it at the next instruction.
        // SAFETY: the VM is alive and on this thread: it is allocating.
        unsafe { set_hook(self.state, collect_hook) }
    }

    fn refused(&mut self) {
        self.refused = true;
        // SAFETY: as above. The hook keeps `pcall` from going on after the error.
        unsafe { set_kill_hook(self.state) };
    }
}

unsafe extern "C-unwind" fn collect_hook(state: *mut lua_State, _: *mut lua::lua_Debug) {
    // SAFETY: hooks run on the VM's thread with the VM alive; collecting is allowed in them.
    unsafe {
        let vm = vm_of(state);
        vm.watch.unhook(state);
        (*vm.alarm).asked = false;
        collect(state, &mut *vm.arena);
        if (*vm.alarm).refused || vm.watch.fired() {
            set_kill_hook(state);
        }
    }
}

/// A full collection; the next is due when half of what is left then is used.
pub(super) unsafe fn collect(state: *mut lua_State, arena: &mut Arena) {
    // SAFETY: by the callers: the VM is alive and not inside an allocation.
    unsafe { lua::lua_gc(state, lua::LUA_GCCOLLECT, 0) };
    arena.soft = (arena.limit / 4 * 3).max(arena.used + arena.room() / 2);
}
