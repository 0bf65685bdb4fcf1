//! An instance of a core module, and calls into it.
//!
//! A module exports `memory` and `alloc(len) -> ptr`; a string goes in as pointer and length, and
//! comes out as an `i64`, `ptr << 32 | len`. With `free(ptr, len)` the host frees arguments and
//! results, with `reset()` it says when a call with strings is over; an instance of a module that exports
//! neither serves one call.

use pilotlight_abi::Value;
use pilotlight_filter::engine::{ModuleSpec, Signature, Type};
use pilotlight_filter::{Fault, FaultKind};
use wasmtime::{ExternType, Func, InstancePre, Store, TypedFunc, Val, ValType};

use super::signature::{differs, has, numeric, takes_text};
use super::values::{Plain, check, shown_as};
use super::{Failed, Given};
use crate::engine::Mistake;
use crate::fault::fault_of;
use crate::host::{Host, Refused};
use crate::proxy_wasm::memory;
use crate::vm;

/// A module, ready to be instantiated.
pub(crate) struct Core {
    pre: InstancePre<Host>,
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
        Ok(Core { pre, functions, lasts })
    }

    pub(super) async fn make(&self, host: Host) -> Result<Instance, Fault> {
        let (mut store, instance) = vm::instantiate(&self.pre, host, &["alloc"]).await?;
        let functions = self
            .functions
            .iter()
            .filter_map(|function| instance.get_func(&mut store, &function.name))
            .collect();
        let free = instance.get_typed_func(&mut store, "free").ok();
        let reset = instance.get_typed_func(&mut store, "reset").ok();
        Ok(Instance { store, functions, free, reset })
    }
}

/// An instance.
pub(super) struct Instance {
    pub(super) store: Store<Host>,
    functions: Vec<Func>,
    free: Option<TypedFunc<(u32, u32), ()>>,
    reset: Option<TypedFunc<(), ()>>,
}

impl Instance {
    pub(super) async fn call(
        &mut self,
        index: usize,
        signature: &Signature,
        given: Given<'_>,
    ) -> Result<Value, Failed> {
        let plain = check(signature, given).map_err(Failed::Arguments)?;
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
        called.map_err(|error| fault_of(&error, self.store.data()))?;
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
        // Numbers leave nothing behind.
        if lent.is_empty() {
            return Ok(value);
        }
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
            if ptr == 0 {
                self.store.data_mut().limits.refused.get_or_insert(Refused::Own);
            }
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
        Fault::new(FaultKind::Trap, text)
    }
}
