//! One LuaJIT VM: made, entered, left, thrown away.

mod alarm;
mod booted;
mod call;
mod stall;

use std::cell::{Cell, RefCell};
use std::os::raw::{c_int, c_void};
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use pilotlight_filter::abi::limit;
use pilotlight_filter::host::Services;
use pilotlight_filter::{Exchange, Fault, FaultKind};
use pilotlight_luajit as lua;

use self::alarm::{Alarm, collect};
use self::booted::Booted;
use crate::arena::{self, Arena};
use crate::counts;
use crate::export::Export;
use crate::handle::Handles;
use crate::known::Read;
use crate::output::Output;
use crate::prelude;
use crate::program::Program;
use crate::socket::{End, Owner};
use crate::stack::{Compiler, Kind, Stack};
use crate::stage::Stage;
use crate::tasks::Tasks;
use crate::wait::Waiter;
use crate::watchdog::Watch;
use crate::window::{Window, World};

mod whose;

pub(crate) use stall::stall_hook;
use whose::vm_of;
pub(crate) use whose::{alive_of, shared_vm_of, window_of};

/// Places in the registry. 1 is the watchdog's message.
pub(crate) const ARRAY: c_int = 2;
pub(crate) const REQUEST: c_int = 3;
pub(crate) const RESPONSE: c_int = 4;
pub(crate) const ENTRY: c_int = 5;
pub(crate) const BOOT: c_int = 6;
pub(crate) const FIELDS: c_int = 7;
pub(crate) const CURRENT: c_int = 8;
pub(crate) const LONG: c_int = 9;
pub(crate) const STATE: c_int = 10;
pub(crate) const TABLE: c_int = 11;
const FIRST_FREE: c_int = 12;
/// Places that are taken from the start: the registry keeps those in an array, not by hash.
const PLACES: c_int = 48;

/// As `lua_Alloc`, but may unwind.
type Allocate = unsafe extern "C-unwind" fn(*mut c_void, *mut c_void, usize, usize) -> *mut c_void;

/// Finished coroutines kept for the next calls, and places of answers in which nothing was written.
const THREADS: usize = 64;

/// What a coroutine yields first when it waits for the host; scripts never see it.
pub(crate) static MARK: u8 = 0;

/// A coroutine of the host's: it runs one phase.
pub(crate) struct Thread {
    place: c_int,
    pub(crate) stack: Stack,
}

impl Thread {
    /// Where the registry holds it.
    pub(crate) fn place(&self) -> c_int {
        self.place
    }
}

/// A string as far as anybody reads an error message.
fn short(stack: Stack, index: c_int) -> Option<String> {
    const MESSAGE_MAX: usize = 4096;
    let bytes = stack.bytes(index)?;
    Some(String::from_utf8_lossy(&bytes[..bytes.len().min(MESSAGE_MAX)]).into_owned())
}

/// A collection begins when a VM holds so many percent of what the last one left: most of that is the
/// prelude, which every collection walks. An idle VM collects whatever it holds (`rest`).
const PAUSE: c_int = 300;

/// From so many bytes on, most are its scripts' own, and it is not to hold three times as much: each boot
/// of a script then collects a bit of what boots leave behind.
const LARGE: usize = 1 << 20;
/// How much that is, in KiB.
const SWEPT: c_int = 16;
const LARGE_PAUSE: c_int = 200;

/// A VM. Lives and dies on one thread.
pub(crate) struct Vm {
    pub(crate) stack: Stack,
    arena: *mut Arena,
    pub(crate) window: *mut Window,
    alarm: *mut Alarm,
    watch: Watch,
    /// Places of the registry: given back ones, and the first that was never used.
    free: RefCell<Vec<c_int>>,
    next: Cell<c_int>,
    threads: RefCell<Vec<Thread>>,
    unused: RefCell<Vec<Rc<Output>>>,
    /// Whose state `CURRENT` shows: its place, or 0.
    pub(crate) shown: Cell<c_int>,
    booted: Booted,
    pub(crate) tasks: Tasks,
    pub(crate) handles: Handles,
    /// Connections that hold something in it.
    pub(crate) tied: Cell<u32>,
    retired: Cell<bool>,
    /// A killed thread's memory is to be collected before anyone else needs it.
    littered: Cell<bool>,
    /// Scripts can hold what only closing it gives back: files, memory of C.
    holds: bool,
    this: Weak<Vm>,
}

impl Vm {
    /// A VM with the prelude loaded and no program yet.
    ///
    /// # Errors
    /// When the system gives no memory.
    #[cold]
    pub(crate) fn new(
        memory: u64,
        services: Rc<dyn Services>,
        world: &Arc<World>,
    ) -> Result<Rc<Vm>, Fault> {
        let none = || Fault::new(FaultKind::Memory, "no memory for a script VM");
        let arena = Box::into_raw(Arena::new(memory as usize).ok_or_else(none)?);
        // SAFETY: the arena outlives the state: both are dropped by `Vm::drop`. LuaJIT, which calls the
        // allocator, does not care whether it unwinds (`guard.rs`).
        let state = unsafe {
            let allocate = std::mem::transmute::<Allocate, lua::lua_Alloc>(arena::allocate);
            lua::lua_newstate(allocate, arena.cast())
        };
        if state.is_null() {
            // SAFETY: made above, used by nobody.
            drop(unsafe { Box::from_raw(arena) });
            return Err(none());
        }
        let vm = Rc::new_cyclic(|this| Vm {
            // SAFETY: the state lives as long as the VM.
            stack: unsafe { Stack::new(state) },
            arena,
            window: Box::into_raw(Window::new(services.clone(), world.clone(), memory)),
            alarm: Box::into_raw(Box::new(Alarm { state, asked: false, refused: false })),
            watch: Watch::new(state),
            free: RefCell::new(Vec::new()),
            next: Cell::new(FIRST_FREE),
            threads: RefCell::new(Vec::new()),
            unused: RefCell::new(Vec::new()),
            shown: Cell::new(0),
            booted: Booted::default(),
            tasks: Tasks::default(),
            handles: Handles::default(),
            tied: Cell::new(0),
            retired: Cell::new(false),
            littered: Cell::new(false),
            holds: world.script.ffi || world.script.io,
            this: this.clone(),
        });
        // SAFETY: the VM stays where it is, inside its Rc, until it is dropped.
        unsafe {
            (*arena).owner = Rc::as_ptr(&vm).cast_mut().cast();
            (*arena).pressure = Some(vm.alarm);
            (1..=PLACES).for_each(|place| vm.stack.vacate(place));
            lua::luaL_openlibs(state);
        }
        counts::attach(vm.stack);
        // SAFETY: the VM is alive and no script runs.
        unsafe { lua::lua_gc(state, lua::LUA_GCSETPAUSE, PAUSE) };
        vm.stack.hold_collector(true);
        prelude::load(&vm, &services, world)?;
        vm.stack.hold_collector(false);
        Ok(vm)
    }

    /// Pushes the function that a chunk (text or our own bytecode) is.
    pub(crate) fn load(&self, stack: Stack, chunk: &[u8], name: &str) -> Result<(), Fault> {
        let mut name = name.as_bytes().to_vec();
        name.retain(|b| *b != 0);
        name.push(0);
        // SAFETY: the chunk and the name live through the call. Bytecode is our own.
        let status = unsafe {
            lua::luaL_loadbuffer(
                stack.raw(),
                chunk.as_ptr().cast(),
                chunk.len(),
                name.as_ptr().cast(),
            )
        };
        if status != lua::LUA_OK {
            let message = self.message(stack);
            stack.pop(1);
            return Err(Fault::new(FaultKind::Error, message));
        }
        Ok(())
    }

    /// What an error value on top says.
    pub(crate) fn message(&self, stack: Stack) -> String {
        match stack.kind(-1) {
            Kind::Str => short(stack, -1).unwrap_or_default(),
            Kind::Number => stack.number(-1).unwrap_or_default().to_string(),
            Kind::Nil => "unknown reason (the error is nil)".into(),
            Kind::Table => {
                stack.get(-1, "message");
                let text = short(stack, -1);
                stack.pop(1);
                text.unwrap_or_else(|| "error object is a table without a message".into())
            }
            _ => format!("error object is a {}", stack.kind_name(-1)),
        }
    }

    /// Pops the value on top of a stack of this VM and keeps it.
    pub(crate) fn keep(&self, stack: Stack) -> c_int {
        let place =
            self.free.borrow_mut().pop().unwrap_or_else(|| self.next.replace(self.next.get() + 1));
        stack.keep_at(place);
        place
    }

    /// Lets go of a kept value.
    pub(crate) fn forget(&self, place: c_int) {
        self.stack.vacate(place);
        self.free.borrow_mut().push(place);
    }

    /// A coroutine with an empty stack.
    pub(crate) fn thread(&self) -> Thread {
        if let Some(thread) = self.threads.borrow_mut().pop() {
            return thread;
        }
        let stack = self.stack.push_thread();
        Thread { place: self.keep(self.stack), stack }
    }

    /// A coroutine that has run to its end comes back.
    #[inline]
    pub(crate) fn recycle(&self, thread: Thread) {
        thread.stack.set_top(0);
        let mut threads = self.threads.borrow_mut();
        if threads.len() < THREADS {
            threads.push(thread);
        } else {
            drop(threads);
            self.discard(thread);
        }
    }

    /// A coroutine that failed or was given up.
    pub(crate) fn discard(&self, thread: Thread) {
        self.forget(thread.place);
    }

    /// Collects what scripts have left behind, and gives its pages back.
    pub(crate) fn rest(&self) {
        // SAFETY: no script runs, nobody else holds a reference.
        let (arena, host) = unsafe { (&mut *self.arena, &mut (*self.window).host) };
        host.model = None;
        self.stack.vacate(TABLE);
        // SAFETY: the VM is alive and not inside an allocation.
        unsafe { collect(self.stack.raw(), arena) };
        arena.trim();
    }

    /// What a new phase call may log and finds in the window.
    #[inline]
    pub(crate) fn begin_call(&self) {
        // SAFETY: no script runs, nobody else holds a reference.
        let host = unsafe { &mut (*self.window).host };
        (host.log_left, host.log_lost) = (limit::LOG_LINES, 0);
    }

    /// Where the scripts of one more exchange write.
    pub(crate) fn output(&self) -> Rc<Output> {
        self.unused.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes one back: mostly nothing was written, so that it serves again.
    pub(crate) fn take_back(&self, output: Rc<Output>) {
        let mut unused = self.unused.borrow_mut();
        if unused.len() < THREADS && Output::is_unused(&output) {
            output.flushed(false);
            unused.push(output);
        }
    }

    /// What a call of the host left to be waited for.
    pub(crate) fn take_pending(&self) -> Option<Box<dyn Waiter>> {
        // SAFETY: as in `begin_call`.
        unsafe { (*self.window).host.pending.take() }
    }

    /// Closes what a task has opened when it is dropped.
    pub(crate) fn end_of_task(&self, task: u32) -> End {
        // SAFETY: as in `begin_call`.
        let host = unsafe { &(*self.window).host };
        host.sockets.end_of(Owner::new(-f64::from(task)))
    }

    /// Closes what an exchange's scripts have opened here, now that one of them was killed.
    pub(crate) fn end_of(&self, exchange: &mut Exchange) {
        // SAFETY: as in `begin_call`.
        let host = unsafe { &(*self.window).host };
        host.sockets.end_now(exchange);
    }

    /// Whose script is running, and the CPU time of one call of it.
    pub(crate) fn at_work(&self) -> (Arc<str>, Duration) {
        // SAFETY: as in `begin_call`; the script that runs is inside a call of ours.
        let host = unsafe { &(*self.window).host };
        (host.filter.clone(), host.cpu)
    }

    /// The worker's services.
    pub(crate) fn services(&self) -> Rc<dyn Services> {
        // SAFETY: as in `begin_call`.
        unsafe { (*self.window).host.services.clone() }
    }

    /// What a script offers to modules is taken down from now on.
    pub(crate) fn begin_exports(&self) {
        // SAFETY: as in `begin_call`.
        unsafe { (*self.window).host.exports = Some(Vec::new()) };
    }

    /// What it has offered since.
    pub(crate) fn take_exports(&self) -> Vec<Export> {
        // SAFETY: as in `begin_call`.
        unsafe { (*self.window).host.exports.take() }.unwrap_or_default()
    }

    /// What a script reads is taken down from now on.
    pub(crate) fn begin_reads(&self) {
        // SAFETY: as in `begin_call`.
        unsafe { (*self.window).host.read = Some(Read::new()) };
    }

    /// What it has read since.
    pub(crate) fn take_reads(&self) -> Read {
        // SAFETY: as in `begin_call`.
        unsafe { (*self.window).host.read.take() }.unwrap_or_default()
    }

    /// Whether a script runs in it: no other may.
    pub(crate) fn is_busy(&self) -> bool {
        // SAFETY: lives as long as the VM.
        unsafe { (*self.arena).strict }
    }

    /// Whether it was killed once: it serves no new exchange.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// Bytes that Lua holds.
    pub(crate) fn used(&self) -> usize {
        // SAFETY: lives as long as the VM.
        unsafe { (*self.arena).used }
    }

    /// What a call has put into the way of its exchange's bodies.
    pub(crate) fn take_stages(&self) -> Vec<Stage> {
        // SAFETY: as in `begin_call`.
        unsafe { std::mem::take(&mut (*self.window).host.stages) }
    }

    /// Bytes that may still be pushed.
    pub(crate) fn room(&self) -> usize {
        self.tidy();
        // SAFETY: lives as long as the VM.
        unsafe { (*self.arena).room() }
    }

    /// The program at `index`, once it has been booted here.
    #[inline]
    pub(crate) fn program(&self, index: usize) -> Option<Rc<Program>> {
        self.booted.get(index)
    }

    pub(crate) fn set_program(&self, index: usize, program: Rc<Program>) {
        if let Some(gone) = self.booted.set(index, program) {
            gone.places().for_each(|place| self.forget(place));
            counts::dropped();
        }
        if self.used() > LARGE {
            // SAFETY: the VM is alive and not inside an allocation.
            unsafe {
                lua::lua_gc(self.stack.raw(), lua::LUA_GCSETPAUSE, LARGE_PAUSE);
                lua::lua_gc(self.stack.raw(), lua::LUA_GCSTEP, SWEPT);
            }
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let state = self.stack.raw();
        self.handles.clear();
        // SAFETY: nobody runs in it or holds it; the state goes first, then its memory.
        unsafe {
            (*self.arena).owner = ptr::null_mut();
            if self.holds {
                lua::lua_close(state);
            } else {
                // Machine code alone is outside the arena; to free each of a million objects takes
                // milliseconds, and the next script waits for them.
                self.stack.compiler(Compiler::Flush);
            }
            drop(Box::from_raw(self.alarm));
            drop(Box::from_raw(self.window));
            Box::from_raw(self.arena).give_back();
        }
    }
}
