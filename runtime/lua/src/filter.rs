//! One script at work on one exchange.

use std::os::raw::c_int;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pilotlight_filter::abi::{Phase, Phases};
use pilotlight_filter::{Call, End, Exchange, Fault, FaultKind, Filter, Frame, Pull, Verdict};

use crate::calls::world::page;
use crate::finish::finish;
use crate::kept;
use crate::output::Output;
use crate::program::{Entry, Program};
use crate::realm::LuaRealm;
use crate::run::{Ended, Run};
use crate::stage::Line;
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
    /// What it has put into the way of the request's body, and of the response's.
    lines: Option<Box<[Line; 2]>>,
    /// What it writes of its answer, in the dialects.
    output: Option<Rc<Output>>,
    /// Its scripts know that the client has left.
    aborted: bool,
    /// It has failed, and what it wrote before goes out first.
    failed: Option<Box<Fault>>,
    /// It has met a limit on this exchange.
    killed: bool,
}

/// CPU time of each phase that follows on the one that met a limit: what it has to put in order takes
/// no longer, and whoever comes next waits for it.
const LAST_WORDS: Duration = Duration::from_millis(1);

/// How far a phase has come.
enum Step {
    Ended(Thread),
    /// It has put something into a body's way.
    Placed(Thread),
    Exited,
    Waits(Box<Waiting>),
}

impl LuaFilter {
    pub(crate) fn new(realm: Rc<LuaRealm>, index: usize) -> LuaFilter {
        let waiting = [None, None];
        LuaFilter {
            realm,
            index,
            home: None,
            context: 0,
            waiting,
            lines: None,
            output: None,
            aborted: false,
            failed: None,
            killed: false,
        }
    }

    fn home(&mut self) -> Result<(Rc<Vm>, Rc<Program>), Fault> {
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let home = self.realm.home(self.index)?;
        if home.1.dialect {
            self.output = Some(home.0.output());
        }
        Ok(self.home.insert(home).clone())
    }

    /// Puts the phase's function and arguments on a thread; how many arguments.
    fn push_call(
        &mut self,
        vm: &Rc<Vm>,
        program: &Program,
        thread: &Thread,
        call: &mut Call<'_>,
        entry: Entry,
    ) -> c_int {
        let stack = thread.stack;
        stack.push_kept(entry.place());
        if program.dialect {
            stack.push_kept(kept::show(call.exchange, vm));
        }
        if let Some(chunk) = &call.chunk {
            stack.push_bytes(&chunk.data);
            stack.push_bool(chunk.last);
        }
        if program.dialect {
            return 1 + if call.chunk.is_some() { 2 } else { 0 };
        }
        let arguments = if call.chunk.is_some() { 2 } else { 1 };
        if call.chunk.is_none() {
            // A handle: its exchange's serial, and room for its headers (`message.lua`).
            stack.push_table(2, 0);
            stack.push_number(call.exchange.serial as f64);
            stack.set_at(-2, 1);
            stack.push_bool(false);
            stack.set_at(-2, 2);
            stack.push_kept(match call.phase {
                Phase::Response | Phase::ResponseTrailers => RESPONSE,
                Phase::Log => ENTRY,
                _ => REQUEST,
            });
            stack.set_metatable(-2);
        }
        if !entry.wants_context() {
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

    /// Begins a phase, or goes on with the one that waits, until it ends or must wait for something
    /// that is not there.
    fn run(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut Call<'_>,
        vm: &Rc<Vm>,
        program: &Program,
        entry: Entry,
    ) -> Result<Step, Fault> {
        let answers = matches!(call.phase, Phase::Request | Phase::Upstream);
        let output = self.output.clone().filter(|_| answers);
        let mut waiting = match self.waiting[side(call.phase)].take() {
            Some(waiting) if waiting.phase == call.phase => {
                if program.dialect {
                    kept::show(call.exchange, vm);
                }
                waiting
            }
            // A phase of the same direction that was given up goes.
            _ => {
                let thread = vm.thread();
                let arguments = self.push_call(vm, program, &thread, call, entry);
                vm.begin_call();
                let visit = program.visit(call.phase, call.exchange, output.as_ref());
                let budget = if self.killed { LAST_WORDS.min(program.cpu) } else { program.cpu };
                match vm.resume(&thread, arguments, budget, visit) {
                    Ran::Done => return Ok(Step::Ended(thread)),
                    Ran::Failed(fault) => {
                        vm.discard(thread);
                        return Err(fault);
                    }
                    Ran::Waits => {
                        let run = Run::waiting(vm, thread, budget);
                        Box::new(Waiting { phase: call.phase, run })
                    }
                }
            }
        };
        let visit = program.visit(call.phase, call.exchange, output.as_ref());
        let polled = waiting.run.poll(cx, visit);
        let line = side(call.phase);
        for stage in vm.take_stages() {
            // One may be left of a call that was killed as it placed it.
            if stage.is_of(call.exchange.serial) && usize::from(stage.is_response) == line {
                self.lines.get_or_insert_default()[line].push(stage);
            }
        }
        match polled {
            Poll::Pending => Ok(Step::Waits(waiting)),
            Poll::Ready(Ok(Ended::Done(thread))) if self.places(line) => Ok(Step::Placed(thread)),
            Poll::Ready(Ok(Ended::Done(thread))) => Ok(Step::Ended(thread)),
            Poll::Ready(Ok(Ended::Exit)) => Ok(Step::Exited),
            Poll::Ready(Err(fault)) => Err(fault),
        }
    }

    /// Whether it has put anything into the way of a body.
    fn places(&self, line: usize) -> bool {
        self.lines.as_ref().is_some_and(|lines| !lines[line].is_empty())
    }

    /// A chunk passes what the filter has put into its way, before the filter's own phase has it.
    fn prepare(&mut self, cx: &mut Context<'_>, call: &mut Call<'_>) -> Poll<Result<(), Fault>> {
        let side = side(call.phase);
        let runs = self.waiting[side].as_ref().is_some_and(|run| run.phase == call.phase);
        if let (Some(lines), Some(chunk), false) = (&mut self.lines, &mut call.chunk, runs) {
            ready!(lines[side].poll(cx, chunk))?;
        }
        Poll::Ready(Ok(()))
    }

    /// What a phase that waits means: where a script of the dialects has begun its answer, that goes
    /// out in the meantime.
    fn wait(&mut self, waiting: Box<Waiting>) -> Poll<Result<Verdict, Fault>> {
        let phase = waiting.phase;
        self.waiting[side(phase)] = Some(waiting);
        match &self.output {
            Some(output) if phase == Phase::Request && output.has_begun() => {
                Poll::Ready(Ok(Verdict::Stream { length: output.length() }))
            }
            _ => Poll::Pending,
        }
    }

    /// Goes on with what is under way of an answer; ready when that has ended.
    fn go_on(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Poll<Result<(), Fault>> {
        let Some(mut waiting) = self.waiting[0].take() else { return Poll::Ready(Ok(())) };
        let Some((vm, program)) = self.home.clone() else { return Poll::Ready(Ok(())) };
        if program.dialect {
            kept::show(exchange, &vm);
        }
        let visit = program.visit(waiting.phase, exchange, self.output.as_ref());
        match waiting.run.poll(cx, visit) {
            Poll::Pending => {
                self.waiting[0] = Some(waiting);
                Poll::Pending
            }
            Poll::Ready(Ok(ended)) => {
                if let Ended::Done(thread) = ended {
                    vm.recycle(thread);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(fault)) => {
                self.let_go(&vm, &program, exchange, &fault);
                Poll::Ready(Err(fault))
            }
        }
    }

    /// What a killed script has open is closed with it, and what it has put off does not begin: the next
    /// exchange would wait for a thousand sockets and timers.
    fn let_go(&mut self, vm: &Vm, program: &Program, exchange: &mut Exchange, fault: &Fault) {
        if vm.is_retired() {
            vm.end_of(exchange);
        }
        if matches!(fault.kind, FaultKind::Cpu | FaultKind::Memory | FaultKind::Internal) {
            self.killed = true;
            vm.tasks.give_up_of(&program.name);
        }
    }
}

/// Scripts for nginx fail with nginx's own page.
fn shown(program: &Program, mut fault: Fault) -> Fault {
    if program.dialect {
        fault.page = Some(page(500).into());
    }
    fault
}

/// The directions of phases, each with one under way at most.
fn side(phase: Phase) -> usize {
    usize::from(phase.is_response())
}

impl Filter for LuaFilter {
    fn poll(&mut self, cx: &mut Context<'_>, mut call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let (vm, program) = self.home()?;
        let Some(entry) = program.entries[call.phase as usize] else {
            ready!(self.prepare(cx, &mut call))?;
            return Poll::Ready(Ok(Verdict::Continue));
        };
        if call.chunk.is_some() {
            ready!(self.prepare(cx, &mut call))?;
        }
        if call.chunk.as_ref().is_some_and(|chunk| chunk.data.len() > vm.room()) {
            let message = "no room in the VM for a chunk";
            return Poll::Ready(Err(Fault::new(FaultKind::Memory, message)));
        }
        loop {
            let ran = self.run(cx, &mut call, &vm, &program, entry);
            if let Err(fault) = &ran {
                self.let_go(&vm, &program, call.exchange, fault);
            }
            match ran.map_err(|fault| shown(&program, fault))? {
                Step::Ended(thread) => {
                    let output = self.output.as_deref();
                    return Poll::Ready(finish(&vm, &program, thread, &mut call, output));
                }
                Step::Placed(thread) => {
                    let verdict = finish(&vm, &program, thread, &mut call, None)?;
                    let body = match call.phase.is_response() {
                        true => Phase::ResponseBody,
                        false => Phase::RequestBody,
                    };
                    return Poll::Ready(Ok(match verdict {
                        Verdict::Continue => Verdict::Enlist(Phases::NONE.with(body)),
                        other => other,
                    }));
                }
                Step::Waits(waiting) => return self.wait(waiting),
                // The phase ended in its midst: its function sees what that means.
                Step::Exited => {}
            }
        }
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        pull: Pull<'_>,
    ) -> Poll<Result<Option<Frame>, Fault>> {
        let Some(output) = self.output.clone() else { return Poll::Ready(Ok(None)) };
        output.flushed(pull.flushed);
        if let Some(frame) = output.frame() {
            return Poll::Ready(Ok(Some(frame)));
        }
        if let Some(fault) = self.failed.take() {
            return Poll::Ready(Err(*fault));
        }
        if output.has_ended() {
            return Poll::Ready(Ok(None));
        }
        let polled = self.go_on(cx, pull.exchange);
        if let Some(frame) = output.frame() {
            if let Poll::Ready(Err(fault)) = polled {
                self.failed = Some(Box::new(fault));
            }
            return Poll::Ready(Ok(Some(frame)));
        }
        if output.has_ended() {
            return Poll::Ready(Ok(None));
        }
        ready!(polled)?;
        Poll::Ready(Ok(None))
    }

    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        end: End,
    ) -> Poll<Result<(), Fault>> {
        let Some((vm, program)) = self.home.clone().filter(|(_, program)| program.dialect) else {
            self.waiting[0] = None;
            return Poll::Ready(Ok(()));
        };
        if let (End::Gone, Some(abort), Some(waiting)) =
            (end, program.abort, self.waiting[0].as_mut())
            && !std::mem::replace(&mut self.aborted, true)
        {
            let thread = vm.thread();
            thread.stack.push_kept(abort);
            thread.stack.push_kept(kept::show(exchange, &vm));
            waiting.run.join(thread, 1);
        }
        if let Some(fault) = self.failed.take() {
            return Poll::Ready(Err(*fault));
        }
        match &self.output {
            Some(output) if end == End::Gone => output.lose(),
            Some(output) => {
                // The client has all of the answer.
                drop(output.take());
                output.flushed(true);
            }
            None => {}
        }
        self.go_on(cx, exchange)
    }

    fn sees_own(&self) -> bool {
        self.output.is_some()
    }

    /// As nginx and Kong do: a location's filters and its log run on whatever answers there.
    fn sees_all(&self) -> bool {
        self.realm.is_dialect(self.index)
    }
}

impl Drop for LuaFilter {
    fn drop(&mut self) {
        if let Some((vm, _)) = &self.home {
            if self.context != 0 {
                vm.forget(self.context);
            }
            if let Some(output) = self.output.take() {
                vm.take_back(output);
            }
        }
        self.realm.restock();
    }
}
