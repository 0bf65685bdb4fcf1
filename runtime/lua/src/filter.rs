//! One script at work on one exchange.

use std::os::raw::c_int;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_filter::abi::Phase;
use pilotlight_filter::{Call, Fault, FaultKind, Filter, Verdict};

use crate::program::{Entry, Program};
use crate::realm::LuaRealm;
use crate::reply::reply;
use crate::run::{Ended, Run};
use crate::stack::Kind;
use crate::visit::Ran;
use crate::vm::{ENTRY, REQUEST, RESPONSE, Thread, Vm};

/// A phase that waits.
struct Waiting {
    phase: Phase,
    run: Run,
}

/// A script's state for one exchange.
pub(crate) struct LuaFilter {
    realm: Rc<LuaRealm>,
    index: usize,
    home: Option<(Rc<Vm>, Rc<Program>)>,
    /// The context's place in the VM's registry; 0 while there is none.
    context: c_int,
    /// Phases under way: of the request's direction, of the response's.
    waiting: [Option<Box<Waiting>>; 2],
}

impl LuaFilter {
    pub(crate) fn new(realm: Rc<LuaRealm>, index: usize) -> LuaFilter {
        LuaFilter { realm, index, home: None, context: 0, waiting: [None, None] }
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

    /// Runs a phase on until it ends or must wait for something that is not there.
    fn go_on(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut Call<'_>,
        vm: &Vm,
        program: &Program,
        mut waiting: Box<Waiting>,
    ) -> Poll<Result<Verdict, Fault>> {
        let visit = program.visit(call.phase, call.exchange);
        match waiting.run.poll(cx, visit) {
            Poll::Pending => {
                self.waiting[side(call.phase)] = Some(waiting);
                Poll::Pending
            }
            Poll::Ready(Ok(Ended::Done(thread))) => {
                Poll::Ready(finish(vm, program, thread, call))
            }
            Poll::Ready(Ok(Ended::Exit)) => Poll::Ready(Ok(Verdict::Continue)),
            Poll::Ready(Err(fault)) => Poll::Ready(Err(fault)),
        }
    }
}

/// The directions of phases, each with one under way at most.
fn side(phase: Phase) -> usize {
    usize::from(phase.is_response())
}

impl Filter for LuaFilter {
    fn poll(&mut self, cx: &mut Context<'_>, mut call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let waiting = self.waiting[side(call.phase)].take();
        let (vm, program) = match &self.home {
            Some(home) => home.clone(),
            None => match self.realm.home(self.index) {
                Ok(home) => self.home.insert(home).clone(),
                Err(fault) => return Poll::Ready(Err(fault)),
            },
        };
        match waiting {
            Some(waiting) if waiting.phase == call.phase => {
                return self.go_on(cx, &mut call, &vm, &program, waiting);
            }
            // A phase of the same direction that was given up goes.
            _ => {}
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
        let visit = program.visit(call.phase, call.exchange);
        match vm.resume(&thread, arguments, program.cpu, visit) {
            Ran::Done => Poll::Ready(finish(&vm, &program, thread, &mut call)),
            Ran::Failed(fault) => {
                vm.discard(thread);
                Poll::Ready(Err(fault))
            }
            Ran::Waits => {
                let run = Run::waiting(&vm, thread, program.cpu);
                let waiting = Box::new(Waiting { phase: call.phase, run });
                self.go_on(cx, &mut call, &vm, &program, waiting)
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
        if let (Some((vm, _)), true) = (&self.home, self.context != 0) {
            vm.forget(self.context);
        }
    }
}
