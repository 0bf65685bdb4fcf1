//! Names of host calls and what answers them. Only what a module imports is linked.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::sync::Arc;

use wasmtime::{
    Caller, Engine, ExternType, FuncType, InstancePre, Linker, Module, Val, ValRaw, ValType,
};

use super::abi::{self, Status};
use super::gives::{self, Payload};
use super::{calling, calls, grpc, instance, memory, metrics, redis};
use crate::fault::GaveUp;
use crate::host::Host;
use crate::wasi;

/// What answers the imports of modules, for calls inline or on fibers.
pub(crate) struct Links {
    linker: Linker<Host>,
    on_fiber: bool,
    /// What is in it of `env`, which is the same for all modules.
    known: HashSet<String>,
}

impl Links {
    pub(crate) fn new(engine: &Engine, on_fiber: bool) -> Links {
        let mut linker = Linker::new(engine);
        linker.allow_shadowing(true);
        Links { linker, on_fiber, known: HashSet::new() }
    }

    /// Whether they are for instances of the module that run so.
    pub(crate) fn fit(&self, module: &Module, on_fiber: bool) -> bool {
        Engine::same(self.linker.engine(), module.engine()) && self.on_fiber == on_fiber
    }

    /// Links what `module` imports.
    ///
    /// # Errors
    /// Sentences that name the imports which nothing answers.
    pub(crate) fn link(&mut self, module: &Module) -> Result<InstancePre<Host>, Vec<String>> {
        let Links { linker, on_fiber, known } = self;
        let mut unknown = Vec::new();
        let higress = instance::marker(module) == Some(abi::HIGRESS);
        for import in module.imports() {
            let (space, name) = (import.module(), import.name());
            let linked = match (space, import.ty()) {
                ("env", ExternType::Func(_)) if known.contains(name) => Ok(true),
                ("env", ExternType::Func(ty)) => match env(linker, name, *on_fiber) {
                    // There are more: a module finds out when it calls one.
                    Ok(false) if higress => {
                        fixed(linker, [space, name], ty, Status::Unimplemented as u32)
                    }
                    linked => {
                        known.extend(matches!(linked, Ok(true)).then(|| name.to_owned()));
                        linked
                    }
                },
                ("wasi_snapshot_preview1" | "wasi_unstable", ExternType::Func(ty)) => {
                    wasi::link(linker, space, name, ty)
                }
                _ => Ok(false),
            };
            match linked {
                Ok(true) => {}
                Ok(false) => unknown.push(format!("it imports {space}.{name}, which is not there")),
                Err(error) => unknown.push(format!("it imports {space}.{name}: {error}")),
            }
        }
        match unknown.is_empty() {
            true => linker.instantiate_pre(module).map_err(|error| vec![format!("{error:#}")]),
            false => Err(unknown),
        }
    }
}

/// Links a call that answers one number always, whatever it is given; false when it would answer anything else.
pub(crate) fn fixed(
    linker: &mut Linker<Host>,
    [space, name]: [&str; 2],
    ty: FuncType,
    number: u32,
) -> Linked {
    let fits = ty.results().len() == 1 && ty.results().all(|ty| ty.is_i32());
    if fits {
        linker.func_new(space, name, ty, move |_, _, results| {
            results[0] = Val::I32(number as i32);
            Ok(())
        })?;
    }
    Ok(fits)
}

type Linked = wasmtime::Result<bool>;

/// Most numbers that a call takes.
const NUMBERS: usize = 16;

/// A host call as it is written: the guest's memory, its host, `N` numbers.
type Written<const N: usize, T> = fn(&mut [u8], &mut Host, [u32; N]) -> Result<T, Status>;

/// A call of `calls`: numbers in, a status out.
type Takes = Box<dyn Fn(&mut [u8], &mut Host, &[u32]) -> Result<(), Status> + Send + Sync>;

/// A call of `gives`: numbers in, bytes to the guest's memory, a status out.
type Gives = Arc<dyn Fn(&mut [u8], &mut Host, &[u32]) -> Result<Payload, Status> + Send + Sync>;

/// Links a call that takes `N` numbers.
fn takes<const N: usize>(
    linker: &mut Linker<Host>,
    name: &str,
    function: Written<N, ()>,
) -> wasmtime::Result<()> {
    let call = move |mem: &mut [u8], host: &mut Host, numbers: &[u32]| match numbers.first_chunk() {
        Some(numbers) => function(mem, host, *numbers),
        None => Err(Status::InternalFailure),
    };
    link_takes(linker, name, N, Box::new(call))
}

/// The same for all calls: code for each would be most of this engine.
fn link_takes(
    linker: &mut Linker<Host>,
    name: &str,
    count: usize,
    call: Takes,
) -> wasmtime::Result<()> {
    let run = move |mut caller: Caller<'_, Host>, space: &mut [MaybeUninit<ValRaw>]| {
        let numbers = read(space, count);
        let done = in_memory(&mut caller, |mem, host| call(mem, host, &numbers[..count]));
        answer(space, done.err().unwrap_or(Status::Ok));
        Ok(())
    };
    let ty = numbers_to_status(linker, count);
    // SAFETY: it takes so many numbers of 32 bits and leaves one, as the type says.
    unsafe { linker.func_new_unchecked("env", name, ty, run)? };
    Ok(())
}

/// Links a call that takes `N` numbers beside the place of the bytes, which stands behind the first
/// `before` of them.
fn gives<const N: usize>(
    linker: &mut Linker<Host>,
    name: &str,
    on_fiber: bool,
    before: usize,
    function: Written<N, Payload>,
) -> wasmtime::Result<()> {
    let find = move |mem: &mut [u8], host: &mut Host, numbers: &[u32]| match numbers.first_chunk() {
        Some(numbers) => function(mem, host, *numbers),
        None => Err(Status::InternalFailure),
    };
    link_gives(linker, name, on_fiber, [before, N], Arc::new(find))
}

fn link_gives(
    linker: &mut Linker<Host>,
    name: &str,
    on_fiber: bool,
    [before, count]: [usize; 2],
    find: Gives,
) -> wasmtime::Result<()> {
    let ty = numbers_to_status(linker, count + 2);
    // Takes the place of the bytes from among the numbers.
    let part = move |mut numbers: [u32; NUMBERS]| {
        let out = [numbers[before], numbers[before + 1]];
        numbers.copy_within(before + 2..count + 2, before);
        (numbers, out)
    };
    if on_fiber {
        linker.func_new_async("env", name, ty, move |mut caller, given, results| {
            let mut numbers = [0; NUMBERS];
            for (number, given) in numbers.iter_mut().zip(given) {
                *number = given.i32().unwrap_or_default() as u32;
            }
            let find = Arc::clone(&find);
            Box::new(async move {
                let (numbers, out) = part(numbers);
                let found = in_memory(&mut caller, |mem, host| find(mem, host, &numbers[..count]));
                let status = match found {
                    Ok(payload) => gives::deliver_async(&mut caller, payload, out).await?,
                    Err(status) => status,
                };
                results[0] = Val::I32(status as i32);
                Ok(())
            })
        })?;
        return Ok(());
    }
    let run = move |mut caller: Caller<'_, Host>, space: &mut [MaybeUninit<ValRaw>]| {
        let (numbers, out) = part(read(space, count + 2));
        let found = in_memory(&mut caller, |mem, host| find(mem, host, &numbers[..count]));
        let status = match found {
            Ok(payload) => gives::deliver(&mut caller, payload, out)?,
            Err(status) => status,
        };
        answer(space, status);
        Ok(())
    };
    // SAFETY: it takes so many numbers of 32 bits and leaves one, as the type says.
    unsafe { linker.func_new_unchecked("env", name, ty, run)? };
    Ok(())
}

fn numbers_to_status(linker: &Linker<Host>, count: usize) -> FuncType {
    FuncType::new(linker.engine(), vec![ValType::I32; count], [ValType::I32])
}

/// The numbers of a call of a function of `numbers_to_status`.
fn read(space: &[MaybeUninit<ValRaw>], count: usize) -> [u32; NUMBERS] {
    let mut numbers = [0; NUMBERS];
    for (number, given) in numbers.iter_mut().zip(space).take(count) {
        // SAFETY: as many numbers came, as the type says.
        *number = unsafe { given.assume_init_ref() }.get_u32();
    }
    numbers
}

fn answer(space: &mut [MaybeUninit<ValRaw>], status: Status) {
    if let Some(result) = space.first_mut() {
        result.write(ValRaw::u32(status as u32));
    }
}

fn in_memory<T>(
    caller: &mut Caller<'_, Host>,
    call: impl FnOnce(&mut [u8], &mut Host) -> Result<T, Status>,
) -> Result<T, Status> {
    let memory = caller.data().memory.ok_or(Status::InternalFailure)?;
    let (mem, host) = memory.data_and_store_mut(caller);
    call(mem, host)
}

fn env(linker: &mut Linker<Host>, name: &str, on_fiber: bool) -> Linked {
    match name {
        "proxy_log" => takes(linker, name, calls::log)?,
        "proxy_get_log_level" => takes(linker, name, calls::log_level)?,
        "proxy_get_current_time_nanoseconds" => takes(linker, name, calls::now)?,
        "proxy_set_tick_period_milliseconds" => takes(linker, name, calls::tick_period)?,
        "proxy_done" => takes(linker, name, calls::finish)?,
        "proxy_set_effective_context" => takes(linker, name, calls::effective_context)?,
        "proxy_continue_stream" => takes(linker, name, calls::continue_stream)?,
        "proxy_continue_request" => takes(linker, name, calls::continue_request)?,
        "proxy_continue_response" => takes(linker, name, calls::continue_response)?,
        "proxy_clear_route_cache" => takes(linker, name, calls::clear_route_cache)?,
        "proxy_get_buffer_status" => takes(linker, name, calls::buffer_status)?,
        "proxy_set_buffer_bytes" => takes(linker, name, calls::set_buffer)?,
        "proxy_get_header_map_size" => takes(linker, name, calls::map_size)?,
        "proxy_set_header_map_pairs" => takes(linker, name, calls::set_map)?,
        "proxy_add_header_map_value" => takes(linker, name, calls::add_field)?,
        "proxy_replace_header_map_value" => takes(linker, name, calls::replace_field)?,
        "proxy_remove_header_map_value" => takes(linker, name, calls::remove_field)?,
        "proxy_set_property" => takes(linker, name, calls::set_property)?,
        "proxy_send_local_response" => takes(linker, name, calls::send_reply)?,
        "proxy_close_stream" => takes(linker, name, calls::close_stream)?,
        "proxy_set_shared_data" => takes(linker, name, calls::set_shared_data)?,
        "proxy_register_shared_queue" => takes(linker, name, calls::register_queue)?,
        "proxy_resolve_shared_queue" => takes(linker, name, calls::resolve_queue)?,
        "proxy_enqueue_shared_queue" => takes(linker, name, calls::enqueue)?,
        "proxy_http_call" => takes(linker, name, calling::http_call)?,
        "proxy_grpc_call" => takes(linker, name, grpc::call)?,
        "proxy_grpc_stream" => takes(linker, name, grpc::stream)?,
        "proxy_grpc_send" => takes(linker, name, grpc::send)?,
        "proxy_grpc_cancel" => takes(linker, name, grpc::cancel)?,
        "proxy_grpc_close" => takes(linker, name, grpc::close)?,
        "proxy_redis_init" => takes(linker, name, redis::init)?,
        "proxy_redis_call" => takes(linker, name, redis::call)?,
        "proxy_define_metric" => takes(linker, name, metrics::define)?,
        "proxy_record_metric" => metrics::link_record(linker)?,
        "proxy_increment_metric" => metrics::link_increment(linker)?,
        "proxy_get_metric" => takes(linker, name, metrics::get)?,
        "proxy_get_status" => gives(linker, name, on_fiber, 1, gives::status)?,
        "proxy_get_shared_data" => gives(linker, name, on_fiber, 2, gives::shared_data)?,
        "proxy_dequeue_shared_queue" => gives(linker, name, on_fiber, 1, gives::dequeue)?,
        "proxy_call_foreign_function" => gives(linker, name, on_fiber, 4, gives::foreign)?,
        "proxy_get_buffer_bytes" => gives(linker, name, on_fiber, 3, gives::buffer)?,
        "proxy_get_configuration" => gives(linker, name, on_fiber, 0, gives::configuration)?,
        "proxy_get_header_map_pairs" => gives(linker, name, on_fiber, 1, gives::map)?,
        "proxy_get_header_map_value" => gives(linker, name, on_fiber, 3, gives::field)?,
        "proxy_get_property" => gives(linker, name, on_fiber, 2, gives::property)?,
        // AssemblyScript's way to trap.
        "abort" => {
            let abort = |mut caller: Caller<'_, Host>, text, file, line: u32, column: u32| {
                let mut read = |place| in_memory(&mut caller, |mem, _| memory::wide(mem, place));
                let (text, file) = (read(text).unwrap_or_default(), read(file).unwrap_or_default());
                Err::<(), _>(GaveUp(format!("abort: {text} ({file}:{line}:{column})")).into())
            };
            linker.func_wrap("env", name, abort)?;
        }
        "emscripten_notify_memory_growth" => {
            linker.func_wrap("env", name, |_: u32| {})?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
