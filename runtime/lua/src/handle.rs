//! Values of the host that Lua holds: userdata that scripts can pass on but not make up.

use std::any::Any;
use std::os::raw::{c_int, c_void};
use std::rc::Rc;

use mlua_sys as lua;
use mlua_sys::lua_State;

use crate::stack::Stack;

/// Its address is the key of the metatable that all handles share.
static KEY: u8 = 0;

/// What the userdata's memory holds; `None` once it was collected.
type Held = Option<Rc<dyn Any>>;

/// Pushes a handle; the value is let go of when Lua has collected it.
pub(crate) fn push(stack: Stack, value: Rc<dyn Any>) {
    push_metatable(stack);
    let state = stack.raw();
    // SAFETY: the stack is alive. The memory is as large as what is written there and aligned as
    // malloc does; its metatable, and so its end, come after it was filled.
    unsafe {
        let memory = lua::lua_newuserdata(state, size_of::<Held>()).cast::<Held>();
        memory.write(Some(value));
        lua::lua_insert(state, -2);
    }
    stack.set_metatable(-2);
}

/// The value of the handle at `index`, if it is one of this kind.
pub(crate) fn get<T: 'static>(stack: Stack, index: c_int) -> Option<Rc<T>> {
    // SAFETY: the stack is alive; only memory with our metatable is read as what `push` wrote.
    let held = unsafe { (*memory_of(stack, index)?).clone() };
    held?.downcast().ok()
}

fn memory_of(stack: Stack, index: c_int) -> Option<*mut Held> {
    let index = stack.absolute(index);
    let state = stack.raw();
    // SAFETY: the stack is alive; what is pushed here is popped.
    unsafe {
        if lua::lua_type(state, index) != lua::LUA_TUSERDATA || !stack.push_metatable(index) {
            return None;
        }
        push_metatable(stack);
        let ours = lua::lua_rawequal(state, -1, -2) != 0;
        stack.pop(2);
        ours.then(|| lua::lua_touserdata(state, index).cast())
    }
}

/// Pushes the metatable; the first call makes it.
fn push_metatable(stack: Stack) {
    let key: *const c_void = (&raw const KEY).cast();
    stack.push_light(key);
    // SAFETY: the key is on top and is replaced by what the registry has.
    unsafe { lua::lua_rawget_(stack.raw(), lua::LUA_REGISTRYINDEX) };
    if stack.kind(-1) != crate::stack::Kind::Nil {
        return;
    }
    stack.pop(1);
    stack.push_table(0, 2);
    stack.push_function(collected);
    stack.set(-2, b"__gc");
    stack.push_bytes(b"handle");
    stack.set(-2, b"__metatable");
    stack.push_light(key);
    stack.push_copy(-2);
    // SAFETY: key and value are on top and are popped.
    unsafe { lua::lua_rawset(stack.raw(), lua::LUA_REGISTRYINDEX) };
}

unsafe extern "C-unwind" fn collected(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    if let Some(memory) = memory_of(stack, 1) {
        // SAFETY: our memory, which nobody reads meanwhile; what it held is dropped once.
        drop(unsafe { (*memory).take() });
    }
    0
}
