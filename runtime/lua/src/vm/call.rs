//! A stretch of a script in its VM: in, out, and what is put right behind one that met a limit.

use std::os::raw::c_int;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_filter::{Fault, FaultKind};
use pilotlight_luajit as lua;

use super::alarm::{Alarm, collect};
use super::{MARK, Thread, Vm};
use crate::visit::{Ran, Visit};
use crate::watchdog::{BROKEN, KILLED, STALLED};

impl Vm {
    /// Runs a thread on, with `arguments` values on its stack, until it ends, waits, or has spent
    /// its budget of CPU time.
    pub(crate) fn resume(
        &self,
        thread: &Thread,
        arguments: c_int,
        budget: Duration,
        visit: Visit<'_>,
    ) -> Ran {
        let (stack, place) = (thread.stack, visit.name());
        self.tidy();
        // SAFETY: arena and window live as long as the VM; nobody else holds a reference now.
        let (arena, window) = unsafe { (&mut *self.arena, &mut *self.window) };
        if !Arc::ptr_eq(&window.host.filter, visit.filter) {
            window.host.filter = visit.filter.clone();
        }
        window.host.cpu = visit.cpu;
        window.host.output = visit.output.cloned();
        window.phase = visit.phase.map_or(-1, |phase| phase as i32);
        // Tasks have serials of their own, below zero: no handle is taken for another's.
        window.serial = -f64::from(visit.task);
        if let Some(exchange) = visit.exchange {
            window.serial = exchange.serial as f64;
            window.host.exchange = exchange;
        }
        arena.strict = true;
        let (arena, window) = (self.arena, self.window);
        self.watch.arm(budget);
        // SAFETY: the thread is this VM's, with its function and arguments on its stack. Scripts
        // and our C functions reach arena and window through pointers from here on.
        let status = unsafe { lua::lua_resume_(stack.raw(), arguments) };
        let signs = self.watch.disarm();
        // SAFETY: as above: the script is out.
        let (arena, window) = unsafe { (&mut *arena, &mut *window) };
        arena.strict = false;
        (window.serial, window.allowed, window.host.output) = (0.0, 0, None);
        let exchange = std::mem::replace(&mut window.host.exchange, ptr::null_mut());
        if signs & STALLED != 0 {
            // SAFETY: the visit's, which this call holds.
            self.tell_stall(unsafe { exchange.as_mut() });
        }
        let (stopped, broken) = (signs & KILLED != 0, signs & BROKEN != 0);
        // SAFETY: lives as long as the VM.
        let &Alarm { refused, asked, .. } = unsafe { &*self.alarm };
        if stopped || broken || refused || asked {
            self.calm();
            let over = |kind, what: String| {
                let mut fault = Fault::new(kind, format!("{place}: {what}"));
                fault.trace = Some(stack.trace()).filter(|trace| !trace.is_empty());
                Ran::Failed(fault)
            };
            if broken {
                let said = window.host.broken.take().unwrap_or_default();
                return over(FaultKind::Internal, format!("a call of the host's failed: {said}"));
            }
            if refused {
                let limit = arena.limit / 1024;
                return over(FaultKind::Memory, format!("over its memory ({limit} KiB)"));
            }
            if stopped && status != lua::LUA_OK {
                return over(FaultKind::Cpu, "over its CPU time".into());
            }
        }
        match status {
            lua::LUA_OK => Ran::Done,
            lua::LUA_YIELD if stack.light(1) == (&raw const MARK).cast_mut().cast() => Ran::Waits,
            lua::LUA_YIELD => {
                let message = "attempt to yield outside of a coroutine";
                Ran::Failed(Fault::new(FaultKind::Error, message))
            }
            _ => {
                let said = self.message(stack);
                let trace = window.host.wreck.before(&said, stack.trace());
                let mut fault = Fault::new(FaultKind::Error, format!("{place}: {said}"));
                if status == lua::LUA_ERRMEM {
                    fault.kind = FaultKind::Memory;
                    self.retired.set(true);
                }
                fault.trace = Some(trace).filter(|trace| !trace.is_empty());
                Ran::Failed(fault)
            }
        }
    }

    /// After a call that met a limit: no hook stays, and what was killed serves no new exchange.
    #[cold]
    fn calm(&self) {
        // SAFETY: the VM is alive, no script runs.
        unsafe {
            self.watch.unhook(self.stack.raw());
            if self.watch.fired() || (*self.alarm).refused {
                self.retired.set(true);
            }
            self.watch.reset();
            ((*self.alarm).refused, (*self.alarm).asked) = (false, false);
        }
        // What was killed is mostly thrown away, not cleaned up.
        self.littered.set(true);
        if !self.retired.get() {
            self.tidy();
        }
    }

    /// Collects what was killed, where that is much.
    #[inline]
    pub(super) fn tidy(&self) {
        if self.littered.get() {
            self.clean();
        }
    }

    #[cold]
    fn clean(&self) {
        self.littered.set(false);
        // SAFETY: the VM is alive; nobody holds a reference.
        let arena = unsafe { &mut *self.arena };
        arena.soft = arena.limit / 4 * 3;
        if arena.used > arena.limit / 2 {
            // SAFETY: as above, and not inside an allocation.
            unsafe { collect(self.stack.raw(), arena) };
        }
    }
}
