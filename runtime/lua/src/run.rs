//! A function of a script under way: it waits, goes on, waits again.

use std::os::raw::c_int;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pilotlight_filter::{Fault, FaultKind};

use crate::visit::{Ran, Visit};
use crate::vm::{Thread, Vm};
use crate::wait::{Pending, Started};
use crate::watchdog::thread_cpu;

/// A thread that waits for the host.
pub(crate) struct Run {
    pub(crate) thread: Thread,
    pending: Pending,
    started: Started,
    /// CPU time that it still has, its waits left out.
    left: Duration,
}

impl Run {
    /// A thread that has just yielded what it waits for.
    pub(crate) fn waiting(vm: &Vm, thread: Thread, left: Duration) -> Run {
        let mut started = Started::default();
        let pending = Pending::read(vm, thread.stack, &mut started);
        thread.stack.set_top(0);
        Run { thread, pending, started, left }
    }

    /// Runs it on until it ends, with its results on its stack, or must wait for something that
    /// is not there.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        vm: &Vm,
        mut visit: Visit<'_>,
    ) -> Poll<Result<(), Fault>> {
        let stack = self.thread.stack;
        loop {
            let exchange = visit.exchange.as_deref_mut();
            let (id, answer) = ready!(self.pending.poll(cx, exchange, &mut self.started));
            if let Some(id) = id {
                stack.push_number(f64::from(id));
            }
            let pushed = answer.push(vm, stack)? + c_int::from(id.is_some());
            let before = thread_cpu();
            match vm.resume(&self.thread, pushed, self.left, visit.again()) {
                Ran::Done => return Poll::Ready(Ok(())),
                Ran::Failed(fault) => return Poll::Ready(Err(fault)),
                Ran::Waits => {
                    self.left = self.left.saturating_sub(thread_cpu().saturating_sub(before));
                    if self.left.is_zero() {
                        let message = format!("{}: over its CPU time", visit.name());
                        return Poll::Ready(Err(Fault::new(FaultKind::Cpu, message)));
                    }
                    self.pending = Pending::read(vm, stack, &mut self.started);
                    stack.set_top(0);
                }
            }
        }
    }
}
