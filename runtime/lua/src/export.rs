//! What scripts offer to modules (`gateway.export`), and how it is called: at once, on top of the
//! module's call, or as a piece of work whose answer comes later.

use std::future::poll_fn;
use std::os::raw::c_int;
use std::rc::Rc;

use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{Called, Outcome};
use pilotlight_filter::{Fault, FaultKind};

use crate::program::Program;
use crate::realm::LuaRealm;
use crate::run::{Ended, Run};
use crate::stack::{Kind, Stack};
use crate::visit::{Ran, Visit};
use crate::vm::{Thread, Vm};

/// A function of a script's.
pub(crate) struct Export {
    pub(crate) name: Box<str>,
    /// Where its VM keeps it.
    pub(crate) place: c_int,
    /// It may wait, so its answers always come later.
    pub(crate) later: bool,
}

/// Calls the function of that name; `None` when no script has one.
pub(crate) fn call(realm: &Rc<LuaRealm>, name: &str, argument: &[u8]) -> Option<Called> {
    let mut scripts = realm.library.scripts.iter();
    let index = scripts.position(|script| script.exports.iter().any(|own| **own == *name))?;
    let called = begin(realm, index, name, argument);
    Some(called.unwrap_or_else(|fault| Called::Done(Err(said(fault)))))
}

fn begin(realm: &Rc<LuaRealm>, index: usize, name: &str, argument: &[u8]) -> Result<Called, Fault> {
    let refuse = |text: &str| Err(Fault::new(FaultKind::Error, text));
    let (vm, program) = realm.home(index)?;
    let Some(export) = program.exports.iter().find(|export| *export.name == *name) else {
        return refuse("its script does not export it this time");
    };
    if vm.is_busy() {
        return refuse("its script is at work");
    }
    if argument.len() > vm.room() {
        return Err(Fault::new(FaultKind::Memory, "no room in its VM for the argument"));
    }
    let (thread, task, later) = (vm.thread(), vm.tasks.number(), export.later);
    thread.stack.push_kept(export.place);
    thread.stack.push_bytes(argument);
    vm.begin_call();
    let end = vm.end_of_task(task);
    let outcome = match vm.resume(&thread, 1, program.cpu, visit(&program, task)) {
        Ran::Done => over(&vm, thread),
        Ran::Failed(fault) => {
            vm.discard(thread);
            Err(said(fault))
        }
        Ran::Waits if later => {
            let rest = async move {
                let _end = end;
                finish(&vm, &program, thread, task).await.unwrap_or_else(|fault| Err(said(fault)))
            };
            return Ok(Called::Running(Box::pin(rest)));
        }
        Ran::Waits => {
            vm.discard(thread);
            drop(vm.take_pending());
            return refuse("it waits, so it must be exported with { later = true }");
        }
    };
    Ok(match later {
        true => Called::Running(Box::pin(std::future::ready(outcome))),
        false => Called::Done(outcome),
    })
}

/// Runs it on to its end.
async fn finish(
    vm: &Rc<Vm>,
    program: &Program,
    thread: Thread,
    task: u32,
) -> Result<Outcome, Fault> {
    let mut run = Run::waiting(vm, thread, program.cpu);
    match poll_fn(|cx| run.poll(cx, visit(program, task))).await? {
        Ended::Done(thread) => Ok(over(vm, thread)),
        Ended::Exit => Ok(Ok(Value::Nil)),
    }
}

fn visit(program: &Program, task: u32) -> Visit<'_> {
    let (filter, cpu) = (&program.name, program.cpu);
    Visit { exchange: None, filter, cpu, phase: None, task, output: None }
}

/// What it has given: a string or a number as text, nothing, or nil and why.
fn over(vm: &Vm, thread: Thread) -> Outcome {
    let stack: Stack = thread.stack;
    let outcome = match stack.kind(1) {
        Kind::Str => Ok(Value::Bytes(stack.bytes(1).unwrap_or_default().to_vec())),
        Kind::Number => Ok(Value::Bytes(stack.digits(1).unwrap_or_default().to_vec())),
        Kind::Nil => match stack.text(2) {
            Some(why) => Err(Value::from(&*why)),
            None => Ok(Value::Nil),
        },
        _ => Err(Value::from(&*format!("it gave a {}, not a string", stack.kind_name(1)))),
    };
    vm.recycle(thread);
    outcome
}

fn said(fault: Fault) -> Value {
    let text = &*fault.message;
    Value::from(text.strip_prefix("background: ").unwrap_or(text))
}
