//! `req:transform` and `res:transform`: a module's function in the way of a body.

use std::os::raw::c_int;

use pilotlight_filter::abi::{Phase, Value};
use pilotlight_filter::host::Wait;
use pilotlight_luajit::lua_State;

use super::Slow;
use super::module::ARGUMENTS_MAX;
use crate::stack::Stack;
use crate::stage::Stage;
use crate::value::{self, Room, refuse};
use crate::vm::window_of;

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("transform", transform)]
}

/// `transform(which, whole, module, function, ...)`: true when a stage was placed, and the script is
/// to yield; false when there is nothing to transform; nil and why it can't be.
unsafe extern "C-unwind" fn transform(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let is_response = stack.number(1) == Some(1.0);
    let phase = if is_response { Phase::Response } else { Phase::Request };
    if window.phase != phase as i32 {
        return refuse(stack, &format!("only the {} phase can place it", phase.name()));
    }
    let index = stack.number(3).unwrap_or(-1.0) as usize;
    let function = stack.number(4).unwrap_or(-1.0) as usize;
    let Some((name, module)) = window.host.modules.get(index) else {
        return refuse(stack, "no such module");
    };
    let mut arguments: Vec<Value> = Vec::new();
    let mut room = Room::new(ARGUMENTS_MAX);
    for at in 5..=stack.top() {
        match value::read(stack, at, &mut room) {
            Ok(argument) => arguments.push(argument),
            Err(error) => return refuse(stack, error),
        }
    }
    let whole = stack.truth(2);
    let function = (module.clone(), function);
    let stage = Stage::new(name, function, arguments, whole, (window.serial, is_response));
    let body = window.exchange().map(|exchange| match is_response {
        true => &exchange.response.body,
        false => &exchange.request.body,
    });
    if body.is_none_or(|body| body.is_done()) {
        stack.push_bool(false);
        return 1;
    }
    window.host.stages.push(stage);
    let done: Wait<Result<Value, String>> = Box::pin(std::future::ready(Ok(Value::Nil)));
    window.host.pending = Some(Box::new(done));
    stack.push_bool(true);
    1
}
