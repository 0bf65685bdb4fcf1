//! The border of the host's calls: what goes wrong in one ends its script, not the process.
//!
//! ```text
//! script ─▶ slow ─▶ catch ─▶ the call ─▶ Lua's own functions ─▶ the arena
//!   ▲         │       ◀── panic ──┘              no memory: a panic, too ─┘
//!   └─ error ─┘
//! ```
//! Neither may a panic pass Lua's frames, nor an error of Lua's a `catch_unwind`: both abort. So within a
//! call Lua raises nothing: it works on the stack raw, and where memory runs out the arena leaves by a
//! panic. What does raise, or is caught by Lua, runs `outside`.

use std::any::Any;
use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::ptr;

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use crate::arena::Arena;
use crate::stack::Stack;
use crate::vm::alive_of;
use crate::watchdog::{KILL_MESSAGE, break_off, is_at_work};

/// Has panics under a script told without their stack, from now on: where compiled code stands on it,
/// whoever walks it ends the process.
pub(crate) fn tell_without_stack() {
    let usual = take_hook();
    set_hook(Box::new(move |panic| match is_at_work() {
        #[expect(clippy::print_stderr, reason = "as the usual hook does")]
        true => eprintln!("{panic}"),
        false => usual(panic),
    }));
}

/// What a call leaves by when the arena has no memory for it.
struct Refused;

/// Leaves the call that is under way.
pub(crate) fn leave_without_memory() -> ! {
    resume_unwind(Box::new(Refused))
}

/// Pushes a function of the host's that works on the Lua stack.
pub(crate) fn push(stack: Stack, function: lua::lua_CFunction) {
    stack.push_light(function as *const c_void);
    // SAFETY: its upvalue is on top.
    unsafe { lua::lua_pushcclosure(stack.raw(), slow, 1) };
}

/// Runs the function that its upvalue points to.
unsafe extern "C-unwind" fn slow(state: *mut lua_State) -> c_int {
    // SAFETY: `push` made this closure, with a function as its upvalue. What is raised passes no frame
    // that has anything to drop.
    unsafe {
        let function = lua::lua_touserdata(state, lua::lua_upvalueindex(1));
        let function = std::mem::transmute::<*mut c_void, lua::lua_CFunction>(function);
        let arena = arena_of(state);
        let before = (*arena).inside;
        (*arena).inside = true;
        let result = catch_unwind(AssertUnwindSafe(|| function(state)));
        (*arena).inside = before;
        match result {
            Ok(results) => results,
            Err(payload) => {
                broken(payload);
                lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, KILL_MESSAGE);
                lua::lua_error(state)
            }
        }
    }
}

/// Runs a function for the FFI. What it answers when it panics is nothing, and nobody looks at it for long.
#[inline(always)]
pub(crate) fn fast<T: Default>(function: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(function)) {
        Ok(result) => result,
        Err(payload) => {
            broken(payload);
            T::default()
        }
    }
}

/// Runs what Lua protects itself: there it raises its own errors, and catches them.
pub(crate) fn outside<T>(stack: Stack, work: impl FnOnce() -> T) -> T {
    // SAFETY: the state is alive, and so is its arena.
    unsafe {
        let arena = arena_of(stack.raw());
        let before = std::mem::replace(&mut (*arena).inside, false);
        let result = work();
        (*arena).inside = before;
        result
    }
}

unsafe fn arena_of(state: *mut lua_State) -> *mut Arena {
    let mut arena = ptr::null_mut();
    // SAFETY: our VMs' allocators have their arena as data.
    unsafe { lua::lua_getallocf(state, &raw mut arena) };
    arena.cast()
}

/// A call has panicked: its script ends, and its VM is thrown away.
#[cold]
#[inline(never)]
fn broken(payload: Box<dyn Any + Send>) {
    if payload.is::<Refused>() {
        // The alarm was rung, and the script ends by that.
        return;
    }
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    let Some(state) = break_off() else { return };
    // SAFETY: the call under way on this thread is one of its VM; the call of the host's is over.
    if let Some(vm) = unsafe { alive_of(state) } {
        // SAFETY: as above.
        let window = unsafe { &mut *vm.window };
        window.show(&[] as *const [u8]);
        window.host.broken = Some(text.unwrap_or_default().into());
    }
}
