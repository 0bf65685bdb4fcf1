//! Making instances and calling into them.

use std::time::Duration;

use pilotlight_filter::{Fault, FaultKind};
use wasmtime::{
    AsContextMut, Engine, Instance, InstancePre, Store, TypedFunc, UpdateDeadline, WasmParams,
    WasmResults,
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

/// Makes an instance and finds its memory and allocator.
pub(crate) async fn instantiate(
    pre: &InstancePre<Host>,
    host: Host,
    allocators: &[&str],
) -> Result<(Store<Host>, Instance), Fault> {
    let on_fiber = host.on_fiber;
    let mut store = store(pre.module().engine(), host);
    let made = match on_fiber {
        true => pre.instantiate_async(&mut store).await,
        false => pre.instantiate(&mut store),
    };
    let instance = made.map_err(|error| fault_of(&error, store.data()))?;
    let memory = instance.get_memory(&mut store, "memory");
    let alloc = allocators
        .iter()
        .find_map(|name| instance.get_typed_func::<u32, u32>(&mut store, name).ok());
    (store.data_mut().memory, store.data_mut().alloc) = (memory, alloc);
    for name in ["_initialize", "_start"] {
        if let Ok(start) = instance.get_typed_func::<(), ()>(&mut store, name) {
            call(&mut store, &start, ()).await?;
            break;
        }
    }
    Ok((store, instance))
}

/// Grants the instance CPU time for what is called next.
#[inline]
pub(crate) fn grant(store: &mut Store<Host>, cpu: Duration) {
    let ticks = store.data_mut().grant(cpu);
    store.set_epoch_deadline(ticks);
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
