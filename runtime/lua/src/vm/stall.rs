//! Where a script stands that has held its worker for long: noted as it runs, told when it is out.

use pilotlight_filter::Exchange;
use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{Level, LogLine};
use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use super::{Vm, vm_of};
use crate::stack::Stack;
use crate::watchdog::set_kill_hook;

/// Set by the watchdog where no other hook is; runs once.
pub(crate) unsafe extern "C-unwind" fn stall_hook(state: *mut lua_State, _: *mut lua::lua_Debug) {
    // SAFETY: hooks run on the VM's thread with the VM alive.
    unsafe {
        let vm = vm_of(state);
        vm.watch.unhook(state);
        vm.watch.noted();
        (*vm.window).host.stall = Some(Stack::new(state).trace().into());
        if (*vm.alarm).refused || vm.watch.fired() {
            set_kill_hook(state);
        }
    }
}

impl Vm {
    /// After a call that the watchdog has asked for its stack: the exchange takes that along; what runs
    /// beside exchanges is told of here.
    #[cold]
    pub(super) fn tell_stall(&self, exchange: Option<&mut Exchange>) {
        // SAFETY: the VM is alive, no script runs, nobody else holds a reference.
        let host = unsafe {
            self.watch.unhook(self.stack.raw());
            &mut (*self.window).host
        };
        self.watch.forget_stall();
        let Some(trace) = host.stall.take() else { return };
        match exchange {
            Some(exchange) => exchange.stall.set(Some(trace)),
            None => {
                let fields = [("trace".into(), Value::from(&*trace))];
                let message = "work in the background blocked its worker";
                let (level, filter) = (Level::Warn, &*host.filter);
                host.services.log(&LogLine { level, filter, id: "", message, fields: &fields });
            }
        }
    }
}
