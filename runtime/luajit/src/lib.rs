//! LuaJIT, built in: the names of its C interface, and its recorder changed to what stopping scripts
//! needs (`record.c`).

pub use mlua_sys::*;

use std::os::raw::{c_char, c_int};

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
