//! Core modules that scripts call (contract 5.2).
//!
//! A module exports `memory` and `alloc(len) -> ptr`; a string goes in as pointer and length, and
//! comes out as an `i64`, `ptr << 32 | len`. With `free(ptr, len)` the host frees arguments and
//! results, with `reset()` it says when a call is over; an instance of a module that exports
//! neither serves one call.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pilotlight_abi::Value;
use pilotlight_filter::engine::{ModuleSpec, Signature, Type};
use pilotlight_filter::host::{Called, Module, Wait};
use pilotlight_filter::{Fault, Services};
use wasmtime::{ExternType, Func, InstancePre, Store, TypedFunc, Val, ValType};

use crate::engine::Mistake;
use crate::host::{Gauge, Host, Limits};
use crate::proxy_wasm::memory;
use crate::stage::Stage;
use crate::ticker::Ticker;
use crate::vm;

mod signature;
mod values;

use signature::{differs, has, numeric, takes_text};
use values::{Plain, check, shown_as};

/// Calls of one module that run at the same time on one worker; further ones wait.
const CALLS_MAX: usize = 16;
/// Instances kept for calls to come.
const IDLE_MAX: usize = 4;

/// A module, ready to be instantiated.
pub(crate) struct Callee {
    pub(crate) name: Arc<str>,
    pre: InstancePre<Host>,
    functions: Vec<Signature>,
    names: Vec<Box<str>>,
    cpu: Duration,
    memory: u64,
    /// Whether an instance can serve several calls.
    lasts: bool,
}

impl Callee {
    /// Checks a module against what the manifest says of it.
    pub(crate) fn new(
        spec: &ModuleSpec,
        module: &wasmtime::Module,
        pre: InstancePre<Host>,
    ) -> Result<Callee, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let functions = match spec.functions.is_empty() {
            true => numeric(module),
            false => spec.functions.clone(),
        };
        if functions.is_empty() {
            let mistake = Mistake::new("it exports no function of numbers only");
            mistakes.push(mistake.hint("declare its functions under `functions`"));
        }
        for function in &functions {
            mistakes.extend(differs(module, function));
        }
        if functions.iter().any(takes_text) {
            if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
                mistakes.push(Mistake::new("it exports no `memory`"));
            }
            if !has(module, "alloc", &[ValType::I32], &[ValType::I32]) {
                mistakes.push(Mistake::new("it exports no `alloc(len: i32) -> i32`"));
            }
        }
        let lasts = has(module, "free", &[ValType::I32, ValType::I32], &[])
            || has(module, "reset", &[], &[])
            || !functions.iter().any(takes_text);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Callee {
            name: Arc::clone(&spec.name),
            pre,
            names: functions.iter().map(|f| f.name.as_str().into()).collect(),
            functions,
            cpu: spec.cpu,
            memory: spec.memory,
            lasts,
        })
    }
}

/// The instances of a module on one worker.
pub(crate) struct Pool {
    callee: Arc<Callee>,
    ticker: Arc<Ticker>,
    services: Rc<dyn Services>,
    pub(crate) gauge: Arc<Gauge>,
    #[allow(clippy::vec_box)] // they move in and out of calls: as pointers
    idle: RefCell<Vec<Box<Made>>>,
    running: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
    /// Its one instance serves call after call, whatever the module exports.
    keeps: bool,
}

/// An instance.
struct Made {
    store: Store<Host>,
    functions: Vec<Func>,
    free: Option<TypedFunc<(u32, u32), ()>>,
    reset: Option<TypedFunc<(), ()>>,
}

impl Pool {
    pub(crate) fn new(
        callee: Arc<Callee>,
        ticker: Arc<Ticker>,
        services: Rc<dyn Services>,
    ) -> Pool {
        Pool {
            callee,
            ticker,
            services,
            gauge: Arc::default(),
            idle: RefCell::default(),
            running: Cell::new(0),
            waiting: RefCell::default(),
            keeps: false,
        }
    }

    /// A pool whose calls follow each other, and find what the one before has left.
    fn apart(&self) -> Pool {
        let (callee, ticker) = (Arc::clone(&self.callee), Arc::clone(&self.ticker));
        let pool = Pool::new(callee, ticker, Rc::clone(&self.services));
        Pool { gauge: Arc::clone(&self.gauge), keeps: true, ..pool }
    }

    pub(crate) fn trim(&self) {
        self.idle.borrow_mut().clear();
    }

    async fn instance(&self) -> Result<Box<Made>, Fault> {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some(made) => Ok(made),
            None => self.make().await.map(Box::new),
        }
    }

    async fn make(&self) -> Result<Made, Fault> {
        let callee = &self.callee;
        let limits = Limits::new(callee.memory, Arc::clone(&self.gauge));
        let (name, services) = (Arc::clone(&callee.name), Rc::clone(&self.services));
        let host = Host::new(name, services, Stage::default(), limits, true);
        let (mut store, instance) = vm::instantiate(&callee.pre, host, &["alloc"]).await?;
        let functions = callee
            .functions
            .iter()
            .filter_map(|function| instance.get_func(&mut store, &function.name))
            .collect();
        let free = instance.get_typed_func(&mut store, "free").ok();
        let reset = instance.get_typed_func(&mut store, "reset").ok();
        Ok(Made { store, functions, free, reset })
    }

    /// A place among the calls that run.
    async fn enter(self: &Rc<Pool>) -> Running {
        std::future::poll_fn(|cx| {
            if self.running.get() < CALLS_MAX {
                self.running.set(self.running.get() + 1);
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
        Running(Rc::clone(self))
    }

    async fn call(self: Rc<Pool>, index: usize, arguments: Vec<Value>) -> Result<Value, String> {
        let _running = self.enter().await;
        let said = |fault: Fault| fault.message;
        let mut made = self.instance().await.map_err(said)?;
        vm::grant(&mut made.store, self.callee.cpu);
        let signature = &self.callee.functions[index];
        let result = match made.call(index, signature, &arguments).await {
            Ok(value) => Ok(value),
            Err(Failed::Arguments(text)) => Err(text),
            // The instance goes with its trap.
            Err(Failed::Trap(fault)) => return Err(fault.message),
        };
        let mut idle = self.idle.borrow_mut();
        if (self.callee.lasts || self.keeps) && idle.len() < IDLE_MAX {
            idle.push(made);
        }
        result
    }
}

/// One of the calls that run.
struct Running(Rc<Pool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        // All of them: one that is woken may be gone by its turn.
        self.0.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

enum Failed {
    /// Nothing was called: the instance is as it was.
    Arguments(String),
    Trap(Fault),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        Failed::Trap(fault)
    }
}

impl Made {
    async fn call(
        &mut self,
        index: usize,
        signature: &Signature,
        arguments: &[Value],
    ) -> Result<Value, Failed> {
        let plain = check(signature, arguments).map_err(Failed::Arguments)?;
        let mut values = Vec::with_capacity(plain.len() + 1);
        let mut lent = Vec::new();
        for plain in plain {
            match plain {
                Plain::Number(value) => values.push(value),
                Plain::Text(text) => {
                    let (ptr, len) = self.lend(text).await?;
                    lent.push((ptr, len));
                    values.extend([Val::I32(ptr as i32), Val::I32(len as i32)]);
                }
            }
        }
        let mut results = [Val::I32(0)];
        let results = &mut results[..usize::from(signature.result.is_some())];
        let function = self.functions[index];
        let called = function.call_async(&mut self.store, &values, results).await;
        called.map_err(|error| crate::fault::fault_of(&error, self.store.data()))?;
        let value = match (signature.result, results.first()) {
            (Some(Type::String), Some(Val::I64(packed))) => {
                let (ptr, len) = ((*packed as u64 >> 32) as u32, *packed as u32);
                let text = self.read(ptr, len)?;
                lent.push((ptr, len));
                Value::Bytes(text)
            }
            (Some(ty), Some(value)) => shown_as(ty, value),
            _ => Value::Nil,
        };
        if let Some(free) = &self.free {
            for (ptr, len) in lent {
                vm::call(&mut self.store, free, (ptr, len)).await?;
            }
        }
        if let Some(reset) = &self.reset {
            vm::call(&mut self.store, reset, ()).await?;
        }
        Ok(value)
    }

    /// Copies text into the module's memory.
    async fn lend(&mut self, text: &[u8]) -> Result<(u32, u32), Fault> {
        let host = self.store.data_mut();
        let (Some(memory), Some(alloc)) = (host.memory, host.alloc.take()) else {
            return Err(self.wrong("it lost its allocator"));
        };
        let called = vm::call(&mut self.store, &alloc, text.len() as u32).await;
        self.store.data_mut().alloc = Some(alloc);
        let ptr = called?;
        let mem = memory.data_mut(&mut self.store);
        if ptr == 0 && !text.is_empty() || memory::write(mem, ptr, text).is_err() {
            self.store.data_mut().limits.refused |= ptr == 0;
            return Err(self.wrong("`alloc` gave no room for an argument"));
        }
        Ok((ptr, text.len() as u32))
    }

    fn read(&self, ptr: u32, len: u32) -> Result<Vec<u8>, Fault> {
        let memory = self.store.data().memory;
        let bytes = memory.and_then(|memory| {
            memory::slice(memory.data(&self.store), ptr, len).ok().map(<[u8]>::to_vec)
        });
        bytes.ok_or_else(|| self.wrong("its result lies outside of its memory"))
    }

    fn wrong(&self, what: &str) -> Fault {
        let text = format!("{}: {what}", self.store.data().name());
        Fault::new(pilotlight_filter::FaultKind::Trap, text)
    }
}

/// A module as scripts hold it.
pub(crate) struct Handle(pub(crate) Rc<Pool>);

impl Module for Handle {
    fn functions(&self) -> &[Box<str>] {
        &self.0.callee.names
    }

    fn call(&self, function: usize, arguments: &[Value]) -> Called {
        if function >= self.0.callee.functions.len() {
            return Called::Done(Err(format!("{} has no such function", self.0.callee.name)));
        }
        let call = Rc::clone(&self.0).call(function, arguments.to_vec());
        let ticker = Arc::clone(&self.0.ticker);
        let mut call = Box::pin(Ticked { ticker, call: Box::pin(call) });
        // The first slice runs at once: most calls end in it.
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Called::Done(result),
            Poll::Pending => Called::Running(call),
        }
    }

    fn stream(&self, function: usize, arguments: usize) -> Option<Rc<dyn Module>> {
        let parameters = &self.0.callee.functions.get(function)?.parameters;
        let told = parameters.len() == arguments + 2 && parameters[1] == Type::Bool;
        told.then(|| Rc::new(Handle(Rc::new(self.0.apart()))) as Rc<dyn Module>)
    }
}

/// A call, with the clock running whenever it does.
struct Ticked {
    ticker: Arc<Ticker>,
    call: Wait<Result<Value, String>>,
}

impl Future for Ticked {
    type Output = Result<Value, String>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.ticker.touch();
        self.call.as_mut().poll(cx)
    }
}
