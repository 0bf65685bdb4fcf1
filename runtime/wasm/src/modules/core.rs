//! An instance of a core module, and calls into it.
//!
//! A module exports `memory` and `alloc(len) -> ptr`; a string goes in as pointer and length, and
//! comes out as an `i64`, `ptr << 32 | len`. With `free(ptr, len)` the host frees arguments and
//! results, with `reset()` it says when a call with strings is over; an instance of a module that exports
//! neither serves one call.
//!
//! Whatever a call needs of the module's functions runs in one go: inline, or on one fiber
//! (`desk.rs`).

use std::sync::Arc;
use std::time::Duration;

use pilotlight_abi::Value;
use pilotlight_filter::engine::{ModuleSpec, Signature, Type};
use pilotlight_filter::{Fault, FaultKind};
use wasmtime::{
    AsContextMut, ExternType, Func, InstancePre, Store, StoreContextMut, ValRaw, ValType,
};

use super::desk::OnFiber;
use super::signature::{differs, numeric, takes_text};
use super::values::{Plain, fit, misfit, shown};
use super::{Failed, Given, Made};
use crate::engine::Mistake;
use crate::fault::fault_of;
use crate::host::{Host, Refused};
use crate::proxy_wasm::memory;
use crate::vm::{Prepared, grant, has};

/// A module, ready to be instantiated.
pub(crate) struct Core {
    prepared: Prepared,
    pub(super) functions: Arc<[Signature]>,
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
        Ok(Core { prepared: Prepared::new(pre, &["alloc"]), functions: functions.into(), lasts })
    }

    /// An instance whose calls get `cpu` of CPU time each.
    pub(super) async fn make(&self, host: Host, cpu: Duration) -> Result<Made, Fault> {
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
        let signatures = Arc::clone(&self.functions);
        let exports = Exports { signatures, functions, alloc, free, reset, cpu };
        // A string is two numbers, and there is always room for a result.
        let most = self.functions.iter().map(|f| 2 * f.parameters.len() + 1).max();
        let numbers = vec![ValRaw::u64(0); most.unwrap_or(1)].into();
        Ok(match on_fiber {
            true => Made::OnFiber(OnFiber::new(store, exports, numbers)?),
            false => Made::Inline(Inline { store, exports, numbers }),
        })
    }
}

/// An instance whose calls are over when they return.
pub(super) struct Inline {
    store: Store<Host>,
    exports: Exports,
    numbers: Box<[ValRaw]>,
}

impl Inline {
    pub(super) fn call(&mut self, index: usize, given: Given<'_>) -> Result<Value, Failed> {
        let Inline { store, exports, numbers } = self;
        let has_text = arrange(&exports.signatures[index], given, numbers)?;
        let given = has_text.then_some(given);
        let text = exports.call(store.as_context_mut(), index, given, numbers);
        store.data_mut().held = None;
        Ok(shown(exports.signatures[index].result, numbers[0], text?))
    }
}

/// What an instance offers.
pub(super) struct Exports {
    pub(super) signatures: Arc<[Signature]>,
    functions: Box<[Func]>,
    alloc: Option<Func>,
    free: Option<Func>,
    reset: Option<Func>,
    /// CPU time of each call.
    cpu: Duration,
}

impl Exports {
    /// Calls a function. `numbers` are its arguments as the module takes them, but for strings, which are
    /// among what is given; then its result, which this gives if it is a string.
    pub(super) fn call(
        &self,
        mut store: StoreContextMut<'_, Host>,
        index: usize,
        given: Option<Given<'_>>,
        numbers: &mut [ValRaw],
    ) -> Result<Option<Vec<u8>>, Fault> {
        grant(&mut store, self.cpu);
        let signature = &self.signatures[index];
        let mut lent = Vec::new();
        if let Some(given) = given {
            self.lend(&mut store, signature, given, numbers, &mut lent)?;
        }
        enter(&mut store, self.functions[index], numbers)?;
        let mut result = None;
        if signature.result == Some(Type::String) {
            let packed = numbers[0].get_u64();
            let (ptr, len) = ((packed >> 32) as u32, packed as u32);
            lent.push((ptr, len));
            result = Some(text(&store, ptr, len)?);
        }
        // Numbers leave nothing behind.
        if lent.is_empty() {
            return Ok(result);
        }
        if let Some(free) = self.free {
            for (ptr, len) in lent {
                enter(&mut store, free, &mut [ValRaw::u32(ptr), ValRaw::u32(len)])?;
            }
        }
        if let Some(reset) = self.reset {
            enter(&mut store, reset, &mut [])?;
        }
        Ok(result)
    }

    /// Copies the strings into the module's memory.
    fn lend(
        &self,
        store: &mut StoreContextMut<'_, Host>,
        signature: &Signature,
        given: Given<'_>,
        numbers: &mut [ValRaw],
        lent: &mut Vec<(u32, u32)>,
    ) -> Result<(), Fault> {
        let mut at = 0;
        for (index, ty) in signature.parameters.iter().enumerate() {
            let Some(Plain::Text(text)) = fit(*ty, given.get(index)) else {
                at += 1;
                continue;
            };
            let (Some(memory), Some(alloc)) = (store.data().memory, self.alloc) else {
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
            numbers[at..at + 2].copy_from_slice(&[ValRaw::u32(ptr), ValRaw::u32(len)]);
            at += 2;
        }
        Ok(())
    }
}

/// Writes the arguments that are numbers; whether there are others.
pub(super) fn arrange(
    signature: &Signature,
    given: Given<'_>,
    numbers: &mut [ValRaw],
) -> Result<bool, Failed> {
    let parameters = &signature.parameters;
    if given.len() != parameters.len() {
        let (name, want, got) = (&signature.name, parameters.len(), given.len());
        let text = format!("{name} takes {want} arguments, got {got}");
        return Err(Failed::Arguments(text));
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
            None => return Err(Failed::Arguments(misfit(signature, given, index))),
        }
    }
    Ok(has_text)
}

/// Calls one of the module's functions.
fn enter(
    store: &mut StoreContextMut<'_, Host>,
    function: Func,
    numbers: &mut [ValRaw],
) -> Result<(), Fault> {
    // SAFETY: the signature was checked when the module was loaded, and the numbers stand as it
    // says; there is room for what it gives. On a fiber this stands in a call of the host's own
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
