//! Values of the host that Lua holds: userdata that scripts can pass on but not make up.

use std::any::Any;
use std::cell::RefCell;
use std::os::raw::{c_int, c_void};
use std::rc::Rc;

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use crate::guard;
use crate::stack::Stack;
use crate::vm::alive_of;

/// Its address is the key of the metatable that all handles share.
static KEY: u8 = 0;

/// A VM's values. A handle holds its value's number alone, so that a VM can be thrown away without
/// asking what is in it.
#[derive(Default)]
pub(crate) struct Handles(RefCell<Values>);

#[derive(Default)]
struct Values {
    all: Vec<Option<Rc<dyn Any>>>,
    /// Numbers of those that are gone.
    free: Vec<u32>,
}

impl Handles {
    fn keep(&self, value: Rc<dyn Any>) -> u32 {
        let mut values = self.0.borrow_mut();
        let Some(number) = values.free.pop() else {
            values.all.push(Some(value));
            return values.all.len() as u32 - 1;
        };
        values.all[number as usize] = Some(value);
        number
    }

    fn get(&self, number: u32) -> Option<Rc<dyn Any>> {
        self.0.borrow().all.get(number as usize)?.clone()
    }

    fn forget(&self, number: u32) {
        let mut values = self.0.borrow_mut();
        let taken = values.all.get_mut(number as usize).and_then(Option::take);
        if taken.is_some() {
            values.free.push(number);
        }
        // Its end may be work of its own.
        drop(values);
        drop(taken);
    }

    /// Lets go of all: their VM goes.
    pub(crate) fn clear(&self) {
        let values = self.0.take();
        drop(values);
    }
}

/// Pushes a handle; the value is let go of when Lua has collected it, or with the VM.
pub(crate) fn push(stack: Stack, value: Rc<dyn Any>) {
    push_metatable(stack);
    let state = stack.raw();
    // SAFETY: a script or the host is at work on the stack, so its VM is there. The memory is as
    // large as what is written there, and its metatable comes after it was filled.
    unsafe {
        let memory = lua::lua_newuserdata(state, size_of::<u32>()).cast::<u32>();
        let number = alive_of(state).map(|vm| vm.handles.keep(value));
        memory.write(number.unwrap_or(u32::MAX));
        lua::lua_insert(state, -2);
    }
    stack.set_metatable(-2);
}

/// The value of the handle at `index`, if it is one of this kind.
pub(crate) fn get<T: 'static>(stack: Stack, index: c_int) -> Option<Rc<T>> {
    let number = number_of(stack, index)?;
    // SAFETY: as in `push`.
    unsafe { alive_of(stack.raw()) }?.handles.get(number)?.downcast().ok()
}

/// What a handle's memory holds; only memory with our metatable is read.
fn number_of(stack: Stack, index: c_int) -> Option<u32> {
    let index = stack.absolute(index);
    let state = stack.raw();
    // SAFETY: the stack is alive; what is pushed here is popped, and `push` has written the number.
    unsafe {
        if lua::lua_type(state, index) != lua::LUA_TUSERDATA || !stack.push_metatable(index) {
            return None;
        }
        push_metatable(stack);
        let ours = lua::lua_rawequal(state, -1, -2) != 0;
        stack.pop(2);
        ours.then(|| *lua::lua_touserdata(state, index).cast())
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
    guard::push(stack, collected);
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
    // SAFETY: as above; a VM that closes has let go of its values.
    if let (Some(number), Some(vm)) = (number_of(stack, 1), unsafe { alive_of(state) }) {
        vm.handles.forget(number);
    }
    0
}
