//! Making instances and calling into them.

use std::time::Duration;

use pilotlight_filter::{Fault, FaultKind};
use wasmtime::{
    AsContextMut, Engine, ExternType, Func, Instance, InstancePre, Module, ModuleExport, Store,
    TypedFunc, UpdateDeadline, ValType, WasmParams, WasmResults,
};

use crate::fault::fault_of;
use crate::host::Host;

/// Calls with a CPU limit up to this run inline, where nothing else on the worker can go on
/// meanwhile; those with more run on a fiber. Shorter than the ticker lingers.
pub(crate) const INLINE: Duration = Duration::from_millis(10);
/// CPU time for starting an instance: its initialisers, `on_vm_start`, `on_configure`.
pub(crate) const START: Duration = Duration::from_secs(1);

/// A store with its limits, and time to start an instance.
pub(crate) fn store(engine: &Engine, host: Host) -> Store<Host> {
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.limits);
    store.epoch_deadline_callback(|mut store| -> wasmtime::Result<UpdateDeadline> {
        store.data_mut().tick()
    });
    grant(&mut store, START);
    store
}

/// A module, ready to be instantiated. What every instance is asked for was looked for once.
pub(crate) struct Prepared {
    pre: InstancePre<Host>,
    memory: Option<ModuleExport>,
    alloc: Option<ModuleExport>,
    initialize: Option<ModuleExport>,
}

impl Prepared {
    /// `allocators` are names of its allocator, in order of preference.
    pub(crate) fn new(pre: InstancePre<Host>, allocators: &[&str]) -> Prepared {
        let module = pre.module();
        let find = |names: &[&str], numbers: &[ValType]| {
            let name = names.iter().find(|name| has(module, name, numbers, numbers))?;
            module.get_export_index(name)
        };
        let memory = module.get_export_index("memory");
        let alloc = find(allocators, &[ValType::I32]);
        let initialize = find(&["_initialize", "_start"], &[]);
        Prepared { pre, memory, alloc, initialize }
    }

    pub(crate) fn module(&self) -> &Module {
        self.pre.module()
    }

    /// Makes an instance, with its memory and allocator known to its host.
    pub(crate) async fn instantiate(&self, host: Host) -> Result<(Store<Host>, Instance), Fault> {
        let on_fiber = host.on_fiber;
        let mut store = store(self.module().engine(), host);
        let made = match on_fiber {
            true => self.pre.instantiate_async(&mut store).await,
            false => self.pre.instantiate(&mut store),
        };
        let instance = made.map_err(|error| fault_of(&error, store.data()))?;
        let memory = self
            .memory
            .and_then(|export| instance.get_module_export(&mut store, &export)?.into_memory());
        let alloc = function(&mut store, instance, self.alloc);
        let alloc = alloc.and_then(|alloc| alloc.typed(&store).ok());
        (store.data_mut().memory, store.data_mut().alloc) = (memory, alloc);
        let initialize = function(&mut store, instance, self.initialize);
        if let Some(initialize) = initialize.and_then(|function| function.typed(&store).ok()) {
            call::<(), ()>(&mut store, &initialize, ()).await?;
        }
        Ok((store, instance))
    }
}

/// A function that an instance's module exports.
pub(crate) fn function(
    store: &mut Store<Host>,
    instance: Instance,
    export: Option<ModuleExport>,
) -> Option<Func> {
    instance.get_module_export(store, &export?)?.into_func()
}

/// Whether a module exports a function of this type.
pub(crate) fn has(
    module: &Module,
    name: &str,
    parameters: &[ValType],
    results: &[ValType],
) -> bool {
    match module.get_export(name) {
        Some(ExternType::Func(ty)) => same(ty.params(), parameters) && same(ty.results(), results),
        _ => false,
    }
}

/// Whether types are those wanted.
pub(crate) fn same(found: impl ExactSizeIterator<Item = ValType>, wanted: &[ValType]) -> bool {
    found.len() == wanted.len() && found.zip(wanted).all(|(a, b)| ValType::eq(&a, b))
}

/// Grants the instance CPU time for what is called next, and has the clock run: until now it may have slept, however
/// long making the instance took.
#[inline]
pub(crate) fn grant(mut store: impl AsContextMut<Data = Host>, cpu: Duration) {
    let mut store = store.as_context_mut();
    let ticks = store.data_mut().grant(cpu);
    store.set_epoch_deadline(ticks);
    if let Some(ticker) = &store.data().ticker {
        ticker.touch();
    }
}

/// Calls a function: on a fiber when the instance's calls may take long, else inline, and then
/// the future is ready at once.
#[inline]
pub(crate) async fn call<P, R>(
    store: &mut Store<Host>,
    function: &TypedFunc<P, R>,
    parameters: P,
) -> Result<R, Fault>
where
    P: WasmParams + Sync,
    R: WasmResults + Sync,
{
    let result = match store.data().on_fiber {
        true => function.call_async(store.as_context_mut(), parameters).await,
        false => {
            let result = function.call(store.as_context_mut(), parameters);
            store.data_mut().held = None;
            result
        }
    };
    result.map_err(|error| fault_of(&error, store.data()))
}

/// Runs a future that has nothing to wait for.
#[inline]
pub(crate) fn at_once<T>(future: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut cx) {
        std::task::Poll::Ready(result) => result,
        std::task::Poll::Pending => {
            Err(Fault::new(FaultKind::Internal, "an inline call of a module had to wait"))
        }
    }
}
