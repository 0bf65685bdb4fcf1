//! What a worker's VMs have done, for its metrics: they come and go, the counts stay.
//!
//! LuaJIT tells of traces as it ends them, and a collection by finalizing what nobody holds. Neither
//! runs Lua, nor allocates where it must not fail.

use std::cell::Cell;
use std::os::raw::c_int;
use std::thread::LocalKey;

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use crate::guard;
use crate::stack::{Kind, Stack};
use crate::vm::alive_of;

type Count = Cell<u64>;

thread_local! {
    static TRACES: Count = const { Count::new(0) };
    static ABORTS: Count = const { Count::new(0) };
    static COLLECTIONS: Count = const { Count::new(0) };
    static DROPPED: Count = const { Count::new(0) };
}

/// The names of the counts.
const ALL: [(&str, &LocalKey<Count>); 4] = [
    ("lua_traces", &TRACES),
    ("lua_trace_aborts", &ABORTS),
    ("lua_collections", &COLLECTIONS),
    ("lua_dropped", &DROPPED),
];

/// Those of this thread, by name.
pub(crate) fn each(mut report: impl FnMut(&'static str, u64)) {
    ALL.iter().for_each(|(name, count)| report(name, count.get()));
}

/// A VM has let go of a program for another.
pub(crate) fn dropped() {
    count(&DROPPED);
}

fn count(count: &'static LocalKey<Count>) {
    count.set(count.get() + 1);
}

/// What LuaJIT calls the events of a trace. It looks each up as a string when it sends it: as long as
/// somebody holds them, that allocates nothing.
const EVENTS: [&str; 4] = ["start", "stop", "abort", "flush"];

/// Counts what a new VM does from now on. Scripts never see the libraries that could undo it.
pub(crate) fn attach(stack: Stack) {
    // SAFETY: the VM is new, its libraries are open, and its memory has no limit yet; what is pushed
    // is popped.
    unsafe {
        let state = stack.raw();
        lua::lua_getglobal_(state, c"jit".as_ptr());
        stack.get(-1, "attach");
        EVENTS.iter().for_each(|event| stack.push_bytes(event.as_bytes()));
        lua::lua_pushcclosure(state, on_trace, EVENTS.len() as c_int);
        stack.push_bytes(b"trace");
        lua::lua_call(state, 2, 0);
        stack.pop(1);
    }
    stack.push_table(0, 1);
    guard::push(stack, on_collection);
    stack.set(-2, b"__gc");
    plant(stack);
    stack.pop(1);
}

/// Leaves something that the next collection finds, with the metatable on top.
fn plant(stack: Stack) {
    // SAFETY: the metatable is on top, and is left there.
    unsafe { lua::lua_newuserdata(stack.raw(), 0) };
    stack.push_copy(-2);
    stack.set_metatable(-2);
    stack.pop(1);
}

/// `on_trace(event, ...)`, called with the compiler in the middle of its work.
unsafe extern "C-unwind" fn on_trace(state: *mut lua_State) -> c_int {
    // SAFETY: LuaJIT calls with a live state.
    let stack = unsafe { Stack::new(state) };
    match stack.bytes(1) {
        Some(b"stop") => count(&TRACES),
        Some(b"abort") => count(&ABORTS),
        _ => {}
    }
    0
}

/// `__gc` of what `plant` has left. The VM may be closing: that is no collection.
unsafe extern "C-unwind" fn on_collection(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let (stack, vm) = unsafe { (Stack::new(state), alive_of(state)) };
    if vm.is_some() && stack.kind(1) == Kind::Other && stack.push_metatable(1) {
        count(&COLLECTIONS);
        plant(stack);
    }
    0
}
