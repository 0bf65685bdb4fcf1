//! `gateway.wasm`: calls into modules, by way of the host.

use std::os::raw::c_int;
use std::rc::Rc;

use pilotlight_filter::abi::{Value, limit};
use pilotlight_filter::host::{Called, Module, NUMBERS_MAX};
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::stack::Stack;
use crate::value::{self, Room};
use crate::vm::window_of;
use crate::window::{FALSE, KEPT, NONE, NUMBER, OTHER, TEXT, TRUE, Window, given};

/// Bytes of a call's arguments: two whole bodies.
pub(super) const ARGUMENTS_MAX: u64 = 2 * limit::BODY_COLLECT;

pub(crate) fn fast() -> [Fast; 1] {
    [fast!("module_plain", plain(window, int, int, text, int, int, double, double, double) -> int)]
}

pub(crate) fn slow() -> [Slow; 4] {
    [
        Slow("module_known", known),
        Slow("module_find", find),
        Slow("module_call", call),
        Slow("module_take", take),
    ]
}

/// `module_known(name)`: whether the manifest has it.
unsafe extern "C-unwind" fn known(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let name = stack.text(1).unwrap_or_default();
    stack.push_bool(window.host.world.modules.iter().any(|known| **known == *name));
    1
}

fn open(window: &mut Window, name: &str) -> Option<usize> {
    let modules = &mut window.host.modules;
    if let Some(index) = modules.iter().position(|(known, _)| **known == *name) {
        return Some(index);
    }
    let module = window.host.services.module(name)?;
    modules.push((name.into(), module));
    Some(modules.len() - 1)
}

/// `module_find(module, function)`: two indexes for `module_call`, or nil and why not.
unsafe extern "C-unwind" fn find(state: *mut lua_State) -> c_int {
    // SAFETY: as in `known`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let (module, function) = (stack.text(1).unwrap_or_default(), stack.text(2).unwrap_or_default());
    let Some(index) = open(window, &module) else {
        return value::refuse(stack, &format!("module \"{module}\" is not at hand"));
    };
    let functions = window.host.modules[index].1.functions();
    // Components have hyphens in names, which stand as underscores here.
    let is_called = |name: &str| *name == *function || *name == function.replace('-', "_");
    let Some(place) = functions.iter().position(|name| is_called(name)) else {
        let has = functions.join(", ");
        let message = format!("module \"{module}\" has no function \"{function}\" (it has: {has})");
        return value::refuse(stack, &message);
    };
    stack.push_number(index as f64);
    stack.push_number(place as f64);
    2
}

/// `module_call(module, function, ...)`: true and the value; nil and a message; or false when the
/// call goes on and the script must wait.
unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    // SAFETY: as in `known`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let index = stack.number(1).unwrap_or(-1.0) as usize;
    let function = stack.number(2).unwrap_or(-1.0) as usize;
    let Some(module): Option<Rc<dyn Module>> = window.host.modules.get(index).map(|m| m.1.clone())
    else {
        return value::refuse(stack, "no such module");
    };
    let mut arguments: Vec<Value> = Vec::new();
    let mut room = Room::new(ARGUMENTS_MAX);
    for at in 3..=stack.top() {
        match value::read(stack, at, &mut room) {
            Ok(argument) => arguments.push(argument),
            Err(error) => return value::refuse(stack, error),
        }
    }
    let called = module.call(function, arguments);
    answer(stack, window, called)
}

/// `module_take()`: what the last `module_plain` left, as `module_call` gives it.
unsafe extern "C-unwind" fn take(state: *mut lua_State) -> c_int {
    // SAFETY: as in `known`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    match window.host.called.take() {
        Some(called) => answer(stack, window, called),
        None => value::refuse(stack, "no call was made"),
    }
}

fn answer(stack: Stack, window: &mut Window, called: Called) -> c_int {
    match called {
        Called::Done(Ok(result)) => {
            stack.push_bool(true);
            value::push_full(stack, &result);
            2
        }
        Called::Done(Err(error)) => {
            stack.push_nil();
            value::push_full(stack, &error);
            2
        }
        Called::Running(wait) => {
            window.host.pending = Some(Box::new(wait));
            stack.push_bool(false);
            1
        }
    }
}

/// A call with a string (`len` below zero: none) and so many numbers; other results than plain ones
/// are for `module_take`.
#[allow(clippy::too_many_arguments)]
unsafe fn plain(
    window: *mut Window,
    module: c_int,
    function: c_int,
    at: *const u8,
    len: c_int,
    count: c_int,
    a: f64,
    b: f64,
    c: f64,
) -> c_int {
    // SAFETY: the prelude passes its own window and a Lua string.
    let (window, text) = unsafe { (&mut *window, (len >= 0).then(|| given(at, len))) };
    let Some((_, module)) = window.host.modules.get(module as usize) else { return OTHER };
    let numbers = [a, b, c];
    let numbers = &numbers[..(count as usize).min(numbers.len())];
    const { assert!(NUMBERS_MAX >= 3) };
    let module = Rc::clone(module);
    match module.call_plain(function as usize, text, numbers) {
        Called::Done(Ok(Value::Nil)) => NONE,
        Called::Done(Ok(Value::Bool(true))) => TRUE,
        Called::Done(Ok(Value::Bool(false))) => FALSE,
        Called::Done(Ok(Value::Int(whole))) if whole.unsigned_abs() <= value::EXACT as u64 => {
            window.num = whole as f64;
            NUMBER
        }
        Called::Done(Ok(Value::Float(number))) => {
            window.num = number;
            NUMBER
        }
        Called::Done(Ok(Value::Bytes(text))) if text.len() <= KEPT => {
            window.show_held(text);
            TEXT
        }
        called => {
            window.host.called = Some(called);
            OTHER
        }
    }
}
