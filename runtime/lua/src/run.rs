//! A function of a script under way: it waits, goes on, waits again, and may start threads beside
//! itself. The run is over when the last of them has ended.

use std::collections::VecDeque;
use std::os::raw::c_int;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_filter::abi::limit;
use pilotlight_filter::{Fault, FaultKind};

use crate::visit::{Ran, Visit};
use crate::vm::{Thread, Vm};
use crate::wait::{Answer, Op, Pending};
use crate::watchdog::script_cpu;

/// The thread that a run begins with.
const ENTRY: u32 = 0;

/// Threads that wait for the host, each for something of its own.
pub(crate) struct Run {
    vm: Rc<Vm>,
    strands: Vec<Strand>,
    /// Those that can go on, in the order in which they came to that.
    turns: VecDeque<u32>,
    /// Threads that were started so far.
    started: u32,
    /// The first thread, when it has ended before the others.
    entry: Option<Thread>,
    /// CPU time that they still have together, their waits left out.
    left: Duration,
}

/// A thread of a run.
struct Strand {
    id: u32,
    thread: Thread,
    waits: Waits,
}

/// What a thread waits for.
enum Waits {
    /// It has yielded an operation that nobody has looked at.
    Unread,
    /// It has not begun: a function and its arguments are on its stack.
    Begin(c_int),
    Host(Pending),
    /// Its turn among those that can go on.
    Turn(Answer),
    /// One of these to end.
    Any(Vec<u32>),
    /// All others to end.
    Others,
}

/// How a run ended.
pub(crate) enum Ended {
    /// With the results of its first thread on that one's stack.
    Done(Thread),
    /// A thread gave up the rest of all (`ngx.exit`).
    Exit,
}

impl Run {
    /// A run whose first thread has just yielded what it waits for.
    pub(crate) fn waiting(vm: &Rc<Vm>, thread: Thread, left: Duration) -> Run {
        let strands = vec![Strand { id: ENTRY, thread, waits: Waits::Unread }];
        let turns = VecDeque::new();
        Run { vm: vm.clone(), strands, turns, started: 0, entry: None, left }
    }

    /// Starts a thread beside the others: a function and its arguments are on its stack.
    pub(crate) fn join(&mut self, thread: Thread, arguments: c_int) {
        self.started += 1;
        self.strands.push(Strand { id: self.started, thread, waits: Waits::Begin(arguments) });
    }

    /// Runs its threads on until all have ended, or all must wait for something that is not there.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut visit: Visit<'_>,
    ) -> Poll<Result<Ended, Fault>> {
        loop {
            let Some((index, answer)) = self.ready(cx, &mut visit) else { return Poll::Pending };
            let went = match answer {
                Ready::Read => self.read(index),
                Ready::Begin(arguments) => self.go_on(index, arguments, &mut visit),
                Ready::Answer(answer) => {
                    match answer.push(&self.vm, self.strands[index].thread.stack) {
                        Ok(count) => self.go_on(index, count, &mut visit),
                        Err(fault) => Err(fault),
                    }
                }
            };
            match went {
                Ok(Some(ended)) => return Poll::Ready(Ok(ended)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
    }

    /// The first thread, in the order of their starts, that can go on.
    fn ready(&mut self, cx: &mut Context<'_>, visit: &mut Visit<'_>) -> Option<(usize, Ready)> {
        // What was just started goes first: its starter gets its number afterwards.
        let fresh = |strand: &Strand| matches!(strand.waits, Waits::Begin(_) | Waits::Unread);
        if let Some(index) = self.strands.iter().rposition(fresh) {
            let ready = match self.strands[index].waits {
                Waits::Begin(arguments) => Ready::Begin(arguments),
                _ => Ready::Read,
            };
            return Some((index, ready));
        }
        while let Some(id) = self.turns.pop_front() {
            let Some(index) = self.strands.iter().position(|strand| strand.id == id) else {
                continue;
            };
            if let Waits::Turn(answer) = &mut self.strands[index].waits {
                return Some((index, Ready::Answer(std::mem::replace(answer, Answer::Nothing))));
            }
        }
        for index in 0..self.strands.len() {
            let alone = self.strands.len() == 1 && self.entry.is_none();
            let alive = |id: &u32| self.strands.iter().any(|strand| strand.id == *id);
            let answer = match &self.strands[index].waits {
                Waits::Any(ids) => (!ids.iter().all(alive)).then_some(Answer::Nothing),
                Waits::Others => alone.then_some(Answer::Nothing),
                _ => None,
            };
            let answer = match &mut self.strands[index].waits {
                Waits::Host(pending) => match pending.poll(cx, visit.exchange.as_deref_mut()) {
                    Poll::Ready(answer) => Some(answer),
                    Poll::Pending => None,
                },
                _ => answer,
            };
            if let Some(answer) = answer {
                return Some((index, Ready::Answer(answer)));
            }
        }
        None
    }

    /// Resumes a thread with what is on top of its stack.
    fn go_on(
        &mut self,
        index: usize,
        arguments: c_int,
        visit: &mut Visit<'_>,
    ) -> Result<Option<Ended>, Fault> {
        let before = script_cpu();
        match self.vm.resume(&self.strands[index].thread, arguments, self.left, visit.again()) {
            Ran::Failed(fault) => Err(fault),
            Ran::Done => Ok(self.ended(index)),
            Ran::Waits => {
                let sending = visit.output.map_or(Duration::ZERO, |output| output.take_cost());
                let used = script_cpu().saturating_sub(before) + sending;
                self.left = self.left.saturating_sub(used);
                if self.left.is_zero() {
                    let message = format!("{}: over its CPU time", visit.name());
                    return Err(Fault::new(FaultKind::Cpu, message));
                }
                self.read(index)
            }
        }
    }

    /// A thread has come to its end.
    fn ended(&mut self, index: usize) -> Option<Ended> {
        let Strand { id, thread, .. } = self.strands.remove(index);
        match id {
            ENTRY => self.entry = Some(thread),
            // Its script may hold it.
            _ => self.vm.discard(thread),
        }
        match self.strands.is_empty() {
            true => self.entry.take().map(Ended::Done),
            false => None,
        }
    }

    /// Reads what a thread has yielded.
    fn read(&mut self, index: usize) -> Result<Option<Ended>, Fault> {
        let stack = self.strands[index].thread.stack;
        let waits = match Op::read(&self.vm, stack) {
            Op::Wait(pending) => Waits::Host(pending),
            Op::Any(ids) => Waits::Any(ids),
            Op::Others => Waits::Others,
            Op::Exit => return Ok(Some(Ended::Exit)),
            Op::Start(arguments) => {
                let answer = self.start(index, arguments);
                self.queue(index, answer)
            }
            Op::Yield if self.strands.len() > 1 => self.queue(index, Answer::Nothing),
            Op::Yield => Waits::Host(Pending::Turn(false)),
            Op::Kill(id) => {
                self.strands[index].waits = Waits::Host(Pending::Ready(Answer::Nothing));
                stack.set_top(0);
                self.kill(id);
                return Ok(None);
            }
        };
        stack.set_top(0);
        self.strands[index].waits = waits;
        Ok(None)
    }

    /// A thread goes on when those before it have had their turn.
    fn queue(&mut self, index: usize, answer: Answer) -> Waits {
        self.turns.push_back(self.strands[index].id);
        Waits::Turn(answer)
    }

    /// Ends a thread, wherever it waits.
    fn kill(&mut self, id: u32) {
        if let Some(at) = self.strands.iter().position(|strand| strand.id == id && id != ENTRY) {
            self.vm.discard(self.strands.remove(at).thread);
        }
    }

    /// Starts a thread beside the one at `index`, whose stack ends with its function and arguments.
    fn start(&mut self, index: usize, arguments: c_int) -> Answer {
        if self.strands.len() >= limit::LUA_THREADS {
            return Answer::Refused("too many threads".into());
        }
        let thread = self.vm.thread();
        self.strands[index].thread.stack.hand_over(thread.stack, arguments + 1);
        let place = thread.place();
        self.join(thread, arguments);
        Answer::Started(self.started, place)
    }
}

/// Why a thread can go on.
enum Ready {
    Read,
    Begin(c_int),
    Answer(Answer),
}

impl Drop for Run {
    fn drop(&mut self) {
        let left = self.strands.drain(..).map(|strand| strand.thread);
        left.chain(self.entry.take()).for_each(|thread| self.vm.discard(thread));
    }
}
