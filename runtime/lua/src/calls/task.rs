//! Tasks beside exchanges: started, given up.

use std::os::raw::c_int;
use std::time::Duration;

use pilotlight_luajit::lua_State;

use super::Slow;
use crate::stack::Stack;
use crate::tasks::Task;
use crate::value::refuse;
use crate::vm::{shared_vm_of, window_of};

/// The longest delay, seconds: a year.
const DELAY_MAX: f64 = 31_536_000.0;

pub(crate) fn slow() -> [Slow; 2] {
    [Slow("task_start", start), Slow("task_cancel", cancel)]
}

fn seconds(stack: Stack, at: c_int) -> Duration {
    let seconds = stack.number(at).filter(|s| s.is_finite()).unwrap_or_default();
    Duration::from_secs_f64(seconds.clamp(0.0, DELAY_MAX))
}

/// `task_start(delay, period or false, last_call, function, ...)`: its number, or nil and why not.
unsafe extern "C-unwind" fn start(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let (stack, vm) = unsafe { (Stack::new(state), shared_vm_of(state)) };
    let Some(vm) = vm else { return refuse(stack, "the VM is closing") };
    // SAFETY: as above.
    if vm.is_retired() && unsafe { window_of(state) }.serial < 0.0 {
        // A task that follows itself would keep a VM that was killed for good.
        return refuse(stack, "process exiting");
    }
    let (delay, period) = (seconds(stack, 1), stack.number(2).map(|_| seconds(stack, 2)));
    let (arguments, last_call) = (stack.top() - 4, stack.truth(3));
    match Task::start(&vm, stack, arguments, delay, period, last_call) {
        Some(id) => {
            stack.push_number(f64::from(id));
            1
        }
        None => refuse(stack, "too many tasks"),
    }
}

/// `task_cancel(number)`: whether it will not begin (again) because of this.
unsafe extern "C-unwind" fn cancel(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let (stack, vm) = unsafe { (Stack::new(state), shared_vm_of(state)) };
    let id = stack.number(1).unwrap_or_default() as u32;
    stack.push_bool(vm.is_some_and(|vm| vm.tasks.cancel(id)));
    1
}
