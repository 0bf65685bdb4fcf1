//! An instance of a core module, and calls into it.
//!
//! A module exports `memory` and `alloc(len) -> ptr`; a string goes in as pointer and length, and
//! comes out as an `i64`, `ptr << 32 | len`. With `free(ptr, len)` the host frees arguments and
//! results, with `reset()` it says when a call with strings is over; an instance of a module that exports
//! neither serves one call.
//!
//! Whatever a call needs of the module's functions runs in one go: inline, or on one fiber, which
//! the module enters by way of a function of the host's.

use std::ptr::NonNull;

use pilotlight_abi::Value;
use pilotlight_filter::engine::{ModuleSpec, Signature, Type};
use pilotlight_filter::{Fault, FaultKind};
use wasmtime::{
    AsContextMut, Caller, ExternType, Func, InstancePre, Store, StoreContextMut, TypedFunc, ValRaw,
    ValType,
};

use super::signature::{differs, numeric, takes_text};
use super::values::{Plain, fit, misfit, shown_as};
use super::{Failed, Given};
use crate::engine::Mistake;
use crate::fault::fault_of;
use crate::host::{Host, Refused};
use crate::proxy_wasm::memory;
use crate::vm::{Prepared, has};

/// A module, ready to be instantiated.
pub(crate) struct Core {
    prepared: Prepared,
    pub(super) functions: Vec<Signature>,
    /// Whether an instance can serve several calls.
    pub(super) lasts: bool,
}

impl Core {
    /// Checks a module against what the manifest says of it.
    pub(crate) fn new(
        spec: &ModuleSpec,
        module: &wasmtime::Module,
        pre: InstancePre<Host>,
    ) -> Result<Core, Vec<Mistake>> {
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
        Ok(Core { prepared: Prepared::new(pre, &["alloc"]), functions, lasts })
    }

    pub(super) async fn make(&self, host: Host) -> Result<Instance, Fault> {
        let on_fiber = host.on_fiber;
        let (mut store, instance) = self.prepared.instantiate(host).await?;
        let mut export = |name: &str| instance.get_func(&mut store, name);
        let functions = self.functions.iter().filter_map(|f| export(&f.name)).collect();
        let optional = |name, parameters: &[ValType]| {
            has(self.prepared.module(), name, parameters, &[]).then_some(name)
        };
        let free = optional("free", &[ValType::I32, ValType::I32]).and_then(&mut export);
        let reset = optional("reset", &[]).and_then(&mut export);
        let alloc = has(self.prepared.module(), "alloc", &[ValType::I32], &[ValType::I32]);
        let alloc = alloc.then(|| export("alloc")).flatten();
        let enter = on_fiber.then(|| {
            let enter = Func::wrap(&mut store, |mut caller: Caller<'_, Host>| {
                if let Some(mut task) = caller.data_mut().task.take() {
                    // SAFETY: whoever put it there polls this call to its end, or drops it first.
                    let task = unsafe { task.as_mut() };
                    task.result = task.work.run(caller.as_context_mut());
                }
            });
            enter.typed(&store).ok()
        });
        let exports = Exports { functions, alloc, free, reset };
        // A string is two numbers, and there is always room for a result.
        let most = self.functions.iter().map(|f| 2 * f.parameters.len() + 1).max();
        let numbers = vec![ValRaw::u64(0); most.unwrap_or(1)].into();
        Ok(Instance { store, exports, enter: enter.flatten(), numbers })
    }
}

/// An instance.
pub(super) struct Instance {
    pub(super) store: Store<Host>,
    exports: Exports,
    /// Runs a task; `None` where calls run inline.
    enter: Option<TypedFunc<(), ()>>,
    /// Room for the numbers of a call.
    numbers: Box<[ValRaw]>,
}

struct Exports {
    functions: Box<[Func]>,
    alloc: Option<Func>,
    free: Option<Func>,
    reset: Option<Func>,
}

/// What a call does in the module.
struct Work<'a> {
    exports: &'a Exports,
    function: Func,
    signature: &'a Signature,
    given: Given<'a>,
    /// The arguments as the module takes them, where strings stand nothing yet; then the result.
    numbers: &'a mut [ValRaw],
    has_text: bool,
}

/// Work that waits for its fiber.
pub(crate) struct Task<'a> {
    work: Work<'a>,
    result: Result<Value, Fault>,
}

impl Core {
    /// Calls a function inline.
    pub(super) fn run(
        &self,
        instance: &mut Instance,
        index: usize,
        given: Given<'_>,
    ) -> Result<Value, Failed> {
        let Instance { store, exports, numbers, .. } = instance;
        Ok(self.work(exports, numbers, index, given)?.run(store.as_context_mut())?)
    }

    /// Calls a function on a fiber.
    pub(super) async fn call(
        &self,
        instance: &mut Instance,
        index: usize,
        given: Given<'_>,
    ) -> Result<Value, Failed> {
        let Instance { store, exports, enter, numbers } = instance;
        let mut work = self.work(exports, numbers, index, given)?;
        let Some(enter) = enter else { return Ok(work.run(store.as_context_mut())?) };
        let mut task = Task { work, result: Ok(Value::Nil) };
        store.data_mut().task = Some(NonNull::from(&mut task).cast());
        let entered = enter.call_async(&mut *store, ()).await;
        entered.map_err(|error| fault_of(&error, store.data()))?;
        Ok(task.result?)
    }

    /// What is to be done for a call.
    fn work<'a>(
        &'a self,
        exports: &'a Exports,
        numbers: &'a mut [ValRaw],
        index: usize,
        given: Given<'a>,
    ) -> Result<Work<'a>, Failed> {
        let (signature, function) = (&self.functions[index], exports.functions[index]);
        let has_text = arrange(signature, given, numbers).map_err(Failed::Arguments)?;
        Ok(Work { exports, function, signature, given, numbers, has_text })
    }
}

/// Writes the arguments that are numbers; whether there are others.
fn arrange(
    signature: &Signature,
    given: Given<'_>,
    numbers: &mut [ValRaw],
) -> Result<bool, String> {
    let parameters = &signature.parameters;
    if given.len() != parameters.len() {
        let (name, want, got) = (&signature.name, parameters.len(), given.len());
        return Err(format!("{name} takes {want} arguments, got {got}"));
    }
    let (mut at, mut has_text) = (0, false);
    for (index, ty) in parameters.iter().enumerate() {
        match fit(*ty, given.get(index)) {
            Some(Plain::Number(number)) => {
                numbers[at] = number;
                at += 1;
            }
            Some(Plain::Text(_)) => {
                has_text = true;
                at += 2;
            }
            None => return Err(misfit(signature, given, index)),
        }
    }
    Ok(has_text)
}

impl Work<'_> {
    fn run(&mut self, mut store: StoreContextMut<'_, Host>) -> Result<Value, Fault> {
        let mut lent = Vec::new();
        if self.has_text {
            self.lend(&mut store, &mut lent)?;
        }
        enter(&mut store, self.function, self.numbers)?;
        let value = match self.signature.result {
            Some(Type::String) => {
                let packed = self.numbers[0].get_u64();
                let (ptr, len) = ((packed >> 32) as u32, packed as u32);
                lent.push((ptr, len));
                Value::Bytes(text(&store, ptr, len)?)
            }
            Some(ty) => shown_as(ty, self.numbers[0]),
            None => Value::Nil,
        };
        // Numbers leave nothing behind.
        if lent.is_empty() {
            return Ok(value);
        }
        if let Some(free) = self.exports.free {
            for (ptr, len) in lent {
                enter(&mut store, free, &mut [ValRaw::u32(ptr), ValRaw::u32(len)])?;
            }
        }
        if let Some(reset) = self.exports.reset {
            enter(&mut store, reset, &mut [])?;
        }
        Ok(value)
    }

    /// Copies the strings into the module's memory.
    fn lend(
        &mut self,
        store: &mut StoreContextMut<'_, Host>,
        lent: &mut Vec<(u32, u32)>,
    ) -> Result<(), Fault> {
        let mut at = 0;
        for (index, ty) in self.signature.parameters.iter().enumerate() {
            let Some(Plain::Text(text)) = fit(*ty, self.given.get(index)) else {
                at += 1;
                continue;
            };
            let (Some(memory), Some(alloc)) = (store.data().memory, self.exports.alloc) else {
                return Err(wrong(store, "it lost its allocator"));
            };
            let len = text.len() as u32;
            let mut asked = [ValRaw::u32(len)];
            enter(store, alloc, &mut asked)?;
            let ptr = asked[0].get_u32();
            let mem = memory.data_mut(&mut *store);
            if ptr == 0 && !text.is_empty() || memory::write(mem, ptr, text).is_err() {
                if ptr == 0 {
                    store.data_mut().limits.refused.get_or_insert(Refused::Own);
                }
                return Err(wrong(store, "`alloc` gave no room for an argument"));
            }
            lent.push((ptr, len));
            self.numbers[at..at + 2].copy_from_slice(&[ValRaw::u32(ptr), ValRaw::u32(len)]);
            at += 2;
        }
        Ok(())
    }
}

/// Calls one of the module's functions.
fn enter(
    store: &mut StoreContextMut<'_, Host>,
    function: Func,
    numbers: &mut [ValRaw],
) -> Result<(), Fault> {
    // SAFETY: the signature was checked when the module was loaded, and the numbers stand as it
    // says; there is room for what it gives. On a fiber this stands in a call by the host's own
    // function: what is on the fiber's stack stays on this worker's thread, as all of the store's
    // does (see `Host`).
    let called = unsafe { function.call_unchecked(&mut *store, numbers) };
    called.map_err(|error| fault_of(&error, store.data()))
}

fn text(store: &StoreContextMut<'_, Host>, ptr: u32, len: u32) -> Result<Vec<u8>, Fault> {
    let memory = store.data().memory;
    let bytes = memory
        .and_then(|memory| memory::slice(memory.data(store), ptr, len).ok().map(<[u8]>::to_vec));
    bytes.ok_or_else(|| wrong(store, "its result lies outside of its memory"))
}

fn wrong(store: &StoreContextMut<'_, Host>, what: &str) -> Fault {
    Fault::new(FaultKind::Trap, format!("{}: {what}", store.data().name()))
}
