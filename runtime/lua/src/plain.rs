//! Values of ours in Lua's own memory: the arena counts them, they go with their VM, and nothing has
//! to be given back.

use std::ffi::CStr;

use pilotlight_luajit as lua;

use crate::stack::Stack;

/// A value that Lua may hold and forget.
pub(crate) trait Plain: Sized + 'static {
    /// Its name in the registry.
    const NAME: &CStr;
    /// Lua aligns to eight bytes, and never drops.
    const FITS: () = assert!(align_of::<Self>() <= 8 && !std::mem::needs_drop::<Self>());
}

/// Pushes a value. Scripts see a userdata without fields, whose metatable they can't reach.
pub(crate) fn push<T: Plain>(stack: Stack, value: T) {
    const { T::FITS };
    // SAFETY: the userdata has room for the value and is aligned for it; what is pushed beside it is
    // popped.
    unsafe {
        let place = lua::lua_newuserdata(stack.raw(), size_of::<T>()).cast::<T>();
        place.write(value);
        if lua::luaL_newmetatable_(stack.raw(), T::NAME.as_ptr()) != 0 {
            stack.push_bool(false);
            stack.set(-2, b"__metatable");
        }
        stack.set_metatable(-2);
    }
}

/// The value at `index`, when it is one of these.
///
/// # Safety
/// The reference ends before Lua runs again, and there is no other to the same value.
pub(crate) unsafe fn get<'a, T: Plain>(stack: Stack, index: i32) -> Option<&'a mut T> {
    // SAFETY: only `push` makes userdata with this metatable, and writes a value into it.
    unsafe {
        if lua::lua_type(stack.raw(), index) != lua::LUA_TUSERDATA || !stack.push_metatable(index) {
            return None;
        }
        lua::lua_getfield_(stack.raw(), lua::LUA_REGISTRYINDEX, T::NAME.as_ptr());
        let is_one = stack.pointer(-1) == stack.pointer(-2);
        stack.pop(2);
        is_one.then(|| &mut *lua::lua_touserdata(stack.raw(), index).cast::<T>())
    }
}
