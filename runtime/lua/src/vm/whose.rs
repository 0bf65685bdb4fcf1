//! Whose VM runs a Lua state.

use std::os::raw::c_void;
use std::ptr;
use std::rc::Rc;

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use super::Vm;
use crate::arena::Arena;
use crate::window::Window;

/// The window of the VM that runs `state`.
///
/// # Safety
/// Within a call from Lua, on one of our VMs; at most one such reference at a time.
pub(crate) unsafe fn window_of<'a>(state: *mut lua_State) -> &'a mut Window {
    // SAFETY: by the caller; the VM set the pointer before any script ran.
    unsafe { &mut *vm_of(state).window }
}

pub(super) unsafe fn vm_of<'a>(state: *mut lua_State) -> &'a Vm {
    // SAFETY: by the caller.
    unsafe { &*owner_of(state) }
}

/// The VM's place; null when it is being closed.
unsafe fn owner_of(state: *mut lua_State) -> *const Vm {
    let mut arena: *mut c_void = ptr::null_mut();
    // SAFETY: our VMs' allocators have their arena as data, and it knows its VM.
    unsafe {
        lua::lua_getallocf(state, &raw mut arena);
        (*arena.cast::<Arena>()).owner.cast::<Vm>()
    }
}

/// The VM that runs `state`; `None` while it is being closed.
///
/// # Safety
/// The state is alive and one of our VMs'.
pub(crate) unsafe fn alive_of<'a>(state: *mut lua_State) -> Option<&'a Vm> {
    // SAFETY: by the caller.
    unsafe { owner_of(state).as_ref() }
}

/// The VM that runs `state`, for who outlives the call. `None` while the VM is being closed.
///
/// # Safety
/// Within a call from Lua, on one of our VMs.
pub(crate) unsafe fn shared_vm_of(state: *mut lua_State) -> Option<Rc<Vm>> {
    // SAFETY: by the caller.
    unsafe { alive_of(state) }?.this.upgrade()
}
