//! `gateway.export`: functions that modules call.

use std::os::raw::c_int;

use pilotlight_filter::abi::limit;
use pilotlight_luajit::lua_State;

use super::Slow;
use crate::export::Export;
use crate::stack::Stack;
use crate::value::refuse;
use crate::vm::{shared_vm_of, window_of};

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("export", export)]
}

/// `export(name, later, function)`: true, or nil and why not.
unsafe extern "C-unwind" fn export(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window, vm) = unsafe { (Stack::new(state), window_of(state), shared_vm_of(state)) };
    let (Some(exports), Some(vm)) = (&mut window.host.exports, vm) else {
        return refuse(stack, "gateway.export is for a script's chunk and init");
    };
    let name = stack.text(1).unwrap_or_default().into_boxed_str();
    if exports.iter().any(|export| export.name == name) {
        return refuse(stack, &format!("\"{name}\" is exported already"));
    }
    if exports.len() >= limit::LUA_EXPORTS {
        return refuse(stack, "too many exports");
    }
    let later = stack.truth(2);
    exports.push(Export { name, place: vm.keep(stack), later });
    stack.push_bool(true);
    1
}
