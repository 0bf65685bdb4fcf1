//! LuaJIT, built in: the names of its C interface, and its recorder changed to what stopping scripts
//! needs (`record.c`).

pub use mlua_sys::*;
