//! One script at work on one exchange.

use std::os::raw::c_int;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::abi::Phase;
use pilotlight_filter::{Call, Fault, FaultKind, Filter, Verdict};

use crate::program::{Entry, Program};
use crate::realm::LuaRealm;
use crate::reply::reply;
use crate::stack::Kind;
use crate::vm::{ENTRY, REQUEST, RESPONSE, Ran, Thread, Visit, Vm};
use crate::wait::{Pending, Started};
use crate::watchdog::thread_cpu;

/// A phase that waits.
struct Run {
    thread: Thread,
    phase: Phase,
    pending: Pending,
    started: Started,
    /// CPU time that this call of the phase still has.
    left: Duration,
}

/// A script's state for one exchange.
pub(crate) struct LuaFilter {
    realm: Rc<LuaRealm>,
    index: usize,
    home: Option<(Rc<Vm>, Rc<Program>)>,
    /// The context's place in the VM's registry; 0 while there is none.
    context: c_int,
    /// Phases under way: of the request's direction, of the response's.
    runs: [Option<Box<Run>>; 2],
}

impl LuaFilter {
    pub(crate) fn new(realm: Rc<LuaRealm>, index: usize) -> LuaFilter {
        LuaFilter { realm, index, home: None, context: 0, runs: [None, None] }
    }

    /// Puts the phase's function and arguments on a thread; how many arguments.
    fn push_call(
        &mut self,
        vm: &Vm,
        program: &Program,
        thread: &Thread,
        call: &Call<'_>,
        entry: Entry,
    ) -> c_int {
        let stack = thread.stack;
        stack.push_kept(entry.place);
        let mut arguments = 1;
        let kind = match call.phase {
            Phase::Response | Phase::ResponseTrailers => RESPONSE,
            Phase::Log => ENTRY,
            _ => REQUEST,
        };
        match &call.chunk {
            Some(chunk) => {
                stack.push_bytes(&chunk.data);
                stack.push_bool(chunk.last);
                arguments += 1;
            }
            None => {
                // A handle: its exchange's serial, and room for its headers (`message.lua`).
                stack.push_table(2, 0);
                stack.push_number(call.exchange.serial as f64);
                stack.set_at(-2, 1);
                stack.push_bool(false);
                stack.set_at(-2, 2);
                stack.push_kept(kind);
                stack.set_metatable(-2);
            }
        }
        if !entry.wants_context {
            return arguments;
        }
        if self.context != 0 {
            stack.push_kept(self.context);
        } else {
            stack.push_table(0, 0);
            if program.keeps_context {
                stack.push_copy(-1);
                self.context = vm.keep(stack);
            }
        }
        arguments + 1
    }

    /// Runs a thread until its phase ends or must wait for something that is not there.
    fn drive(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut Call<'_>,
        vm: &Rc<Vm>,
        program: &Program,
        mut run: Box<Run>,
        side: usize,
    ) -> Poll<Result<Verdict, Fault>> {
        loop {
            let polled = run.pending.poll(cx, call.exchange, &mut run.started);
            let Poll::Ready((id, answer)) = polled else {
                self.runs[side] = Some(run);
                return Poll::Pending;
            };
            let stack = run.thread.stack;
            if let Some(id) = id {
                stack.push_number(f64::from(id));
            }
            let pushed = match answer.push(vm, stack) {
                Ok(pushed) => pushed + c_int::from(id.is_some()),
                Err(fault) => {
                    vm.discard(run.thread);
                    return Poll::Ready(Err(fault));
                }
            };
            let before = thread_cpu();
            let visit = Visit {
                exchange: Some(call.exchange),
                filter: &program.name,
                phase: call.phase,
                budget: run.left,
            };
            match vm.resume(&run.thread, pushed, visit) {
                Ran::Done => return Poll::Ready(finish(vm, program, run.thread, call)),
                Ran::Failed(fault) => {
                    vm.discard(run.thread);
                    return Poll::Ready(Err(fault));
                }
                Ran::Waits => {
                    run.left = run.left.saturating_sub(thread_cpu().saturating_sub(before));
                    if run.left.is_zero() {
                        vm.discard(run.thread);
                        let message = format!("{}: over its CPU time", call.phase.name());
                        return Poll::Ready(Err(Fault::new(FaultKind::Cpu, message)));
                    }
                    run.pending = Pending::read(vm, stack, &mut run.started);
                    stack.set_top(0);
                }
            }
        }
    }
}

impl Filter for LuaFilter {
    fn poll(&mut self, cx: &mut Context<'_>, mut call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let side = usize::from(call.phase.is_response());
        let waiting = self.runs[side].take();
        let (vm, program) = match &self.home {
            Some(home) => home.clone(),
            None => match self.realm.home(self.index) {
                Ok(home) => self.home.insert(home).clone(),
                Err(fault) => return Poll::Ready(Err(fault)),
            },
        };
        match waiting {
            Some(run) if run.phase == call.phase => {
                return self.drive(cx, &mut call, &vm, &program, run, side);
            }
            Some(given_up) => vm.discard(given_up.thread),
            None => {}
        }
        let Some(entry) = program.entries[call.phase as usize] else {
            return Poll::Ready(Ok(Verdict::Continue));
        };
        if call.chunk.as_ref().is_some_and(|chunk| chunk.data.len() > vm.room()) {
            let message = "no room in the VM for a chunk";
            return Poll::Ready(Err(Fault::new(FaultKind::Memory, message)));
        }
        let thread = vm.thread();
        let arguments = self.push_call(&vm, &program, &thread, &call, entry);
        vm.begin_call();
        let visit = Visit {
            exchange: Some(call.exchange),
            filter: &program.name,
            phase: call.phase,
            budget: program.cpu,
        };
        match vm.resume(&thread, arguments, visit) {
            Ran::Done => Poll::Ready(finish(&vm, &program, thread, &mut call)),
            Ran::Failed(fault) => {
                vm.discard(thread);
                Poll::Ready(Err(fault))
            }
            Ran::Waits => {
                let mut started = Started::default();
                let pending = Pending::read(&vm, thread.stack, &mut started);
                thread.stack.set_top(0);
                let (phase, left) = (call.phase, program.cpu);
                let run = Box::new(Run { thread, phase, pending, started, left });
                self.drive(cx, &mut call, &vm, &program, run, side)
            }
        }
    }
}

/// What a phase's results mean. The thread goes back.
fn finish(
    vm: &Vm,
    program: &Program,
    thread: Thread,
    call: &mut Call<'_>,
) -> Result<Verdict, Fault> {
    let stack = thread.stack;
    let verdict = match stack.kind(1) {
        Kind::Nil if program.target && call.phase == Phase::Request => {
            Err("the script did not answer (it must return a table)".to_owned())
        }
        Kind::Nil => Ok(Verdict::Continue),
        Kind::Str if call.chunk.is_some() => {
            if let (Some(chunk), Some(data)) = (&mut call.chunk, stack.bytes(1)) {
                chunk.data = Bytes::copy_from_slice(data);
            }
            Ok(Verdict::Continue)
        }
        Kind::Table if !call.phase.is_response() && call.phase != Phase::Log => {
            reply(stack, call.exchange, program.cpu)
                .map(|()| Verdict::Reply)
                .map_err(|fault| fault.message)
        }
        // What log functions and such return has no meaning.
        _ if call.phase == Phase::Log => Ok(Verdict::Continue),
        Kind::Table => Err("only request phases can answer: this one returned a table".into()),
        _ => Err(format!("returned a {}, which means nothing here", stack.kind_name(1))),
    };
    vm.recycle(thread);
    verdict.map_err(|message| {
        let text = format!("{}: {message}", call.phase.name());
        Fault::new(FaultKind::Error, text)
    })
}

impl Drop for LuaFilter {
    fn drop(&mut self) {
        let Some((vm, _)) = &self.home else { return };
        for run in &mut self.runs {
            if let Some(run) = run.take() {
                vm.discard(run.thread);
            }
        }
        if self.context != 0 {
            vm.forget(self.context);
        }
    }
}
