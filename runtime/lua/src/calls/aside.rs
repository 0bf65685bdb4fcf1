//! `ngx.run_worker_thread`: a function runs on a thread beside the workers, in a VM of that thread.

use std::cell::RefCell;
use std::os::raw::c_int;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pilotlight_filter::Exchange;
use pilotlight_filter::abi::limit;
use pilotlight_filter::host::Services;
use pilotlight_luajit::lua_State;

use super::Slow;
use crate::parcel::Parcel;
use crate::stack::Stack;
use crate::value::{refuse, status};
use crate::visit::{Ran, Visit};
use crate::vm::{BOOT, Vm, window_of};
use crate::wait::{Answer, Waiter};
use crate::window::World;

pub(crate) fn slow() -> [Slow; 2] {
    [Slow("has_pool", has_pool), Slow("aside", aside)]
}

thread_local! {
    /// A thread's VM, for the generation that had it made.
    static HOME: RefCell<Option<(Arc<World>, Rc<Vm>)>> = const { RefCell::new(None) };
}

/// Where the result is laid down, and who is told.
#[derive(Default)]
struct Ticket {
    result: Option<Parcel>,
    waker: Option<Waker>,
    /// Nobody waits any more.
    void: bool,
}

/// A script that waits for a thread.
struct Sent(Arc<Mutex<Ticket>>);

impl Waiter for Sent {
    fn poll(&mut self, cx: &mut Context<'_>, _: Option<&mut Exchange>) -> Poll<Answer> {
        let mut ticket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match ticket.result.take() {
            Some(result) => Poll::Ready(Answer::Parcel(result)),
            None => {
                ticket.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).void = true;
    }
}

/// Lays down what a job came to, also when it panics.
struct Receipt(Arc<Mutex<Ticket>>, Parcel);

impl Drop for Receipt {
    fn drop(&mut self) {
        let mut ticket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ticket.result = Some(std::mem::take(&mut self.1));
        if let Some(waker) = ticket.waker.take() {
            waker.wake();
        }
    }
}

/// `has_pool(name)`: whether the manifest has such a pool of threads.
unsafe extern "C-unwind" fn has_pool(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let name = stack.text(1).unwrap_or_default();
    let pools = &window.host.world.script.threads;
    stack.push_bool(pools.iter().any(|(known, _)| **known == *name));
    1
}

/// `aside(pool, module, function, ...)`: leaves a wait for what the function returns on a thread of
/// the pool: true and its results, or false and why not. True, or nil and why it can't begin.
unsafe extern "C-unwind" fn aside(state: *mut lua_State) -> c_int {
    // SAFETY: as in `has_pool`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let (pool, memory) = (stack.text(1).unwrap_or_default(), window.host.memory);
    let arguments = match Parcel::pack(stack, 2, memory as usize / 2) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(stack, &format!("{error} in the argument")),
    };
    let ticket = Arc::<Mutex<Ticket>>::default();
    let (world, filter) = (window.host.world.clone(), window.host.filter.clone());
    let receipt = Receipt(ticket.clone(), Parcel::refusal("the thread has ended"));
    let job = move |services: Rc<dyn Services>| {
        let mut receipt = receipt;
        if !receipt.0.lock().unwrap_or_else(PoisonError::into_inner).void {
            receipt.1 = run(&world, memory, services, &filter, &arguments)
                .unwrap_or_else(|message| Parcel::refusal(&message));
        }
    };
    match window.host.services.aside(&pool, Box::new(job)) {
        Ok(()) => {
            window.host.pending = Some(Box::new(Sent(ticket)));
            status(stack, Ok(()))
        }
        Err(error) => refuse(stack, error),
    }
}

/// On the thread: runs the function in the thread's VM.
fn run(
    world: &Arc<World>,
    memory: u64,
    services: Rc<dyn Services>,
    filter: &Arc<str>,
    arguments: &Parcel,
) -> Result<Parcel, String> {
    let vm = home(world, memory, services).map_err(|fault| fault.message)?;
    if arguments.bytes() > vm.room() {
        return Err("no memory".into());
    }
    let thread = vm.thread();
    let stack = thread.stack;
    stack.push_kept(BOOT);
    stack.push_bytes(b"aside");
    let count = arguments.unpack(stack) + 1;
    vm.begin_call();
    let cpu = Duration::from_micros(limit::LUA_ASIDE_CPU_MICROS);
    let visit = Visit { exchange: None, filter, cpu, phase: None, task: 0, output: None };
    match vm.resume(&thread, count, cpu, visit) {
        Ran::Done => {
            let results = Parcel::pack(stack, 1, memory as usize / 2);
            vm.recycle(thread);
            results.map_err(|error| format!("{error} in the return value"))
        }
        Ran::Waits => {
            vm.discard(thread);
            Err("a function on a thread of its own can't wait".into())
        }
        Ran::Failed(fault) => {
            vm.discard(thread);
            Err(fault.message.strip_prefix("background: ").unwrap_or(&fault.message).to_owned())
        }
    }
}

/// This thread's VM; a new one after a reload, or when it was killed.
fn home(
    world: &Arc<World>,
    memory: u64,
    services: Rc<dyn Services>,
) -> Result<Rc<Vm>, pilotlight_filter::Fault> {
    HOME.with_borrow_mut(|home| {
        if let Some((of, vm)) = home
            && Arc::ptr_eq(of, world)
            && !vm.is_retired()
        {
            return Ok(vm.clone());
        }
        *home = None;
        let vm = Vm::new(memory, services, world)?;
        *home = Some((world.clone(), vm.clone()));
        Ok(vm)
    })
}
