//! Names of host calls and what answers them. Only what a module imports is linked.

use wasmtime::{Caller, ExternType, Linker, Module};

use super::abi::Status;
use super::gives::{self, Payload};
use super::{calling, calls, grpc, metrics};
use crate::fault::GaveUp;
use crate::host::Host;
use crate::wasi;

/// Links what `module` imports, for calls inline or on fibers.
///
/// # Errors
/// Sentences that name the imports which nothing answers.
pub(crate) fn link(
    linker: &mut Linker<Host>,
    module: &Module,
    on_fiber: bool,
) -> Result<(), Vec<String>> {
    let mut unknown = Vec::new();
    linker.allow_shadowing(true);
    for import in module.imports() {
        let (space, name) = (import.module(), import.name());
        let linked = match (space, import.ty()) {
            ("env", ExternType::Func(_)) => env(linker, name, on_fiber),
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
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}

type Linked = wasmtime::Result<bool>;

fn env(linker: &mut Linker<Host>, name: &str, on_fiber: bool) -> Linked {
    /// A call of `calls`: numbers in, a status out.
    macro_rules! takes {
        ($function:path: $($argument:ident)*) => {{
            linker.func_wrap("env", name, |mut caller: Caller<'_, Host> $(, $argument: u32)*| {
                let Some(memory) = caller.data().memory else {
                    return Status::InternalFailure as u32;
                };
                let (mem, host) = memory.data_and_store_mut(&mut caller);
                let done: Result<(), Status> = $function(mem, host, [$($argument),*]);
                done.err().unwrap_or(Status::Ok) as u32
            })?;
        }};
    }
    /// A call of `gives`: numbers in, bytes to the guest's memory, a status out. What stands behind
    /// the semicolon is passed behind the place of the bytes.
    macro_rules! gives {
        ($function:path: $($before:ident)* $(; $($after:ident)*)?) => {{
            fn find(
                caller: &mut Caller<'_, Host>,
                $($before: u32,)* $($($after: u32,)*)?
            ) -> Result<Payload, Status> {
                let memory = caller.data().memory.ok_or(Status::InternalFailure)?;
                let (mem, host) = memory.data_and_store_mut(caller);
                $function(mem, host, [$($before,)* $($($after,)*)?])
            }
            if on_fiber {
                linker.func_wrap_async(
                    "env",
                    name,
                    |mut caller: Caller<'_, Host>,
                     ($($before,)* ptr, len $($(, $after)*)?): ($(gives!(@u32 $before),)* u32, u32 $($(, gives!(@u32 $after))*)?)| {
                        Box::new(async move {
                            match find(&mut caller, $($before,)* $($($after,)*)?) {
                                Ok(payload) => {
                                    let out = [ptr, len];
                                    let status = gives::deliver_async(&mut caller, payload, out);
                                    Ok(status.await? as u32)
                                }
                                Err(status) => Ok::<u32, wasmtime::Error>(status as u32),
                            }
                        })
                    },
                )?;
            } else {
                linker.func_wrap(
                    "env",
                    name,
                    |mut caller: Caller<'_, Host>,
                     $($before: u32,)* ptr: u32, len: u32 $($(, $after: u32)*)?| {
                        match find(&mut caller, $($before,)* $($($after,)*)?) {
                            Ok(payload) => {
                                let status = gives::deliver(&mut caller, payload, [ptr, len]);
                                Ok(status? as u32)
                            }
                            Err(status) => Ok::<u32, wasmtime::Error>(status as u32),
                        }
                    },
                )?;
            }
        }};
        (@u32 $argument:ident) => { u32 };
    }
    match name {
        "proxy_log" => takes!(calls::log: level ptr len),
        "proxy_get_log_level" => takes!(calls::log_level: out),
        "proxy_get_current_time_nanoseconds" => takes!(calls::now: out),
        "proxy_set_tick_period_milliseconds" => takes!(calls::tick_period: period),
        "proxy_done" => takes!(calls::finish:),
        "proxy_set_effective_context" => takes!(calls::effective_context: id),
        "proxy_continue_stream" => takes!(calls::continue_stream: kind),
        "proxy_continue_request" => takes!(calls::continue_request:),
        "proxy_continue_response" => takes!(calls::continue_response:),
        "proxy_clear_route_cache" => takes!(calls::clear_route_cache:),
        "proxy_get_buffer_status" => takes!(calls::buffer_status: kind length flags),
        "proxy_set_buffer_bytes" => takes!(calls::set_buffer: kind start size ptr len),
        "proxy_get_header_map_size" => takes!(calls::map_size: map out),
        "proxy_set_header_map_pairs" => takes!(calls::set_map: map ptr len),
        "proxy_add_header_map_value" => takes!(calls::add_field: map key klen val vlen),
        "proxy_replace_header_map_value" => takes!(calls::replace_field: map key klen val vlen),
        "proxy_remove_header_map_value" => takes!(calls::remove_field: map key klen),
        "proxy_set_property" => takes!(calls::set_property: path plen val vlen),
        "proxy_send_local_response" => takes!(calls::send_reply: status d dl b bl h hl grpc),
        "proxy_close_stream" => takes!(calls::close_stream: kind),
        "proxy_set_shared_data" => takes!(calls::set_shared_data: key klen val vlen cas),
        "proxy_register_shared_queue" => takes!(calls::register_queue: name nlen out),
        "proxy_resolve_shared_queue" => takes!(calls::resolve_queue: vm vlen name nlen out),
        "proxy_enqueue_shared_queue" => takes!(calls::enqueue: id item len),
        "proxy_http_call" => takes!(calling::http_call: up ul head hl body bl trail tl time out),
        "proxy_grpc_call" => takes!(grpc::call: s sl n nl m ml meta metal msg msgl time out),
        "proxy_grpc_stream" => takes!(grpc::stream: s sl n nl m ml meta metal out),
        "proxy_grpc_send" => takes!(grpc::send: token msg len last),
        "proxy_grpc_cancel" => takes!(grpc::cancel: token),
        "proxy_grpc_close" => takes!(grpc::close: token),
        "proxy_define_metric" => takes!(metrics::define: kind name len out),
        "proxy_record_metric" => metrics::link_record(linker)?,
        "proxy_increment_metric" => metrics::link_increment(linker)?,
        "proxy_get_metric" => takes!(metrics::get: id out),
        "proxy_get_status" => gives!(gives::status: code),
        "proxy_get_shared_data" => gives!(gives::shared_data: key klen; cas),
        "proxy_dequeue_shared_queue" => gives!(gives::dequeue: id),
        "proxy_call_foreign_function" => gives!(gives::foreign: name nlen arg alen),
        "proxy_get_buffer_bytes" => gives!(gives::buffer: kind start max),
        "proxy_get_configuration" => gives!(gives::configuration:),
        "proxy_get_header_map_pairs" => gives!(gives::map: map),
        "proxy_get_header_map_value" => gives!(gives::field: map key klen),
        "proxy_get_property" => gives!(gives::property: path plen),
        // AssemblyScript's way to trap: message, file, line, column.
        "abort" => {
            linker.func_wrap("env", name, |_: u32, _: u32, line: u32, column: u32| {
                Err::<(), _>(GaveUp(format!("abort at line {line}, column {column}")).into())
            })?;
        }
        "emscripten_notify_memory_growth" => {
            linker.func_wrap("env", name, |_: u32| {})?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
