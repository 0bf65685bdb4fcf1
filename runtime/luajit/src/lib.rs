//! LuaJIT, built in: the names of its C interface, its compiler changed to what stopping scripts needs
//! (`record.c`, `asm.c`), and what a host does for each call (`host.c`).

pub use mlua_sys::*;

use std::os::raw::{c_char, c_int, c_void};

// As functions of the C API, they may unwind where memory ends.
unsafe extern "C-unwind" {
    /// Pushes what the registry holds at `place`.
    pub fn pl_push_kept(state: *mut lua_State, place: c_int);
    /// Pushes a copy of the table that it holds there, and of nothing in it.
    pub fn pl_push_copy_of(state: *mut lua_State, place: c_int);
    /// Pops a value into the registry.
    pub fn pl_keep(state: *mut lua_State, place: c_int);
    /// Holds nothing at a place any more, which stays one.
    pub fn pl_vacate(state: *mut lua_State, place: c_int);
    /// The first value of the table kept at `table` becomes what is kept at `place`.
    pub fn pl_show(state: *mut lua_State, table: c_int, place: c_int);
    /// In the table on top, `key` gets `text`; 0 where it has a value, which stays.
    pub fn pl_put_text(
        state: *mut lua_State,
        key: *const c_char,
        key_len: usize,
        text: *const c_char,
        len: usize,
    ) -> c_int;
}

// These raise nothing, and may be called from signal handlers.
unsafe extern "C" {
    /// Makes compiled code under way on this thread go on in the interpreter, which sees hooks, within
    /// one turn of its loop. What it returns is for the other two; null where it can't be done now.
    pub fn pl_open_ways_out(state: *mut lua_State) -> *mut c_void;
    /// Compiled code is as before. Not from a handler.
    pub fn pl_close_ways_out(state: *mut lua_State, opened: *mut c_void);
    /// Where a trap at `at` goes on; null if it is another's.
    #[cfg(target_arch = "x86_64")]
    pub fn pl_way_out_at(opened: *mut c_void, at: *mut c_void) -> *mut c_void;
}
