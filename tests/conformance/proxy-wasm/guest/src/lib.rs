//! A filter that does what its configuration says: a script of host calls for each callback.
//!
//! ```text
//! on request_headers
//!   get_header_map_value 0 "x-name"     logs: get_header_map_value OK "value"
//!   return 1                            what the callback answers
//! ```
//! ../README.md tells the whole language.

mod calls;
mod script;

use std::cell::RefCell;

use script::{Line, Script};

#[derive(Default)]
struct State {
    script: Script,
    /// How often each event has come.
    counts: Vec<(String, u32)>,
    /// The context of the last stream that was made.
    stream: u32,
    values: calls::Values,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Runs what the script says of an event: the answer, if it gives one.
fn on(event: &str, context: u32, arguments: &[u32], end: Option<bool>) -> Option<u32> {
    let lines = STATE.with_borrow_mut(|state| {
        let count = match state.counts.iter_mut().find(|(known, _)| known == event) {
            Some((_, count)) => count,
            None => {
                state.counts.push((event.to_owned(), 0));
                &mut state.counts.last_mut().unwrap().1
            }
        };
        *count += 1;
        state.script.lines(event, *count, end)
    });
    let mut answer = None;
    for line in lines {
        match line {
            Line::Return(value) => answer = Some(value),
            Line::Arguments => {
                let list: Vec<String> = arguments.iter().map(u32::to_string).collect();
                calls::say(&format!("{event} {}", list.join(" ")));
            }
            Line::Say(text) => calls::say(&text),
            Line::Trap => std::process::abort(),
            #[allow(clippy::empty_loop)]
            Line::Loop => loop {
                std::hint::black_box(0);
            },
            Line::Grow(pages) => {
                let grown = core::arch::wasm32::memory_grow(0, pages as usize);
                calls::say(if grown == usize::MAX { "grow refused" } else { "grown" });
            }
            Line::Recurse => {
                recurse(0);
            }
            Line::Call { name, quiet, times, arguments } => {
                for _ in 0..times {
                    let (mut values, stream) =
                        STATE.with_borrow_mut(|s| (std::mem::take(&mut s.values), s.stream));
                    calls::call(&name, &arguments, quiet, &mut values, [context, stream]);
                    STATE.with_borrow_mut(|state| state.values = values);
                }
            }
        }
    }
    answer
}

#[inline(never)]
#[allow(unconditional_recursion)] // that is what it is for
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(depth + 1)) + depth)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for what the host hands over; `calls` frees it.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let mut bytes = Vec::with_capacity(size);
    let place = bytes.as_mut_ptr();
    std::mem::forget(bytes);
    place
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    if parent != 0 {
        STATE.with_borrow_mut(|state| state.stream = context);
        on("context_create", context, &[], None);
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_: u32, _: u32) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(context: u32, size: u32) -> u32 {
    let text = calls::configuration(size);
    STATE.with_borrow_mut(|state| state.script = Script::parse(&text));
    on("configure", context, &[size], None).unwrap_or(1)
}

macro_rules! callbacks {
    ($($name:ident $event:literal ($($argument:ident),*) $(end $end:ident)? -> $default:literal;)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name(context: u32 $(, $argument: u32)*) -> u32 {
            let end: Option<bool> = None $(.or(Some($end != 0)))?;
            on($event, context, &[$($argument),*], end).unwrap_or($default)
        })*
    };
}

callbacks! {
    proxy_on_request_headers "request_headers" (count, end) end end -> 0;
    proxy_on_request_body "request_body" (size, end) end end -> 0;
    proxy_on_request_trailers "request_trailers" (count) -> 0;
    proxy_on_response_headers "response_headers" (count, end) end end -> 0;
    proxy_on_response_body "response_body" (size, end) end end -> 0;
    proxy_on_response_trailers "response_trailers" (count) -> 0;
    proxy_on_new_connection "new_connection" () -> 0;
    proxy_on_downstream_data "downstream_data" (size, end) end end -> 0;
    proxy_on_upstream_data "upstream_data" (size, end) end end -> 0;
    proxy_on_done "done" () -> 1;
}

macro_rules! events {
    ($($name:ident $event:literal ($($argument:ident),*);)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name(context: u32 $(, $argument: u32)*) {
            on($event, context, &[$($argument),*], None);
        })*
    };
}

events! {
    proxy_on_log "log" ();
    proxy_on_delete "delete" ();
    proxy_on_tick "tick" ();
    proxy_on_queue_ready "queue_ready" (queue);
    proxy_on_http_call_response "http_call_response" (token, headers, size, trailers);
    proxy_on_grpc_receive_initial_metadata "grpc_receive_initial_metadata" (token, count);
    proxy_on_grpc_receive "grpc_receive" (token, size);
    proxy_on_grpc_receive_trailing_metadata "grpc_receive_trailing_metadata" (token, count);
    proxy_on_grpc_close "grpc_close" (token, status);
    proxy_on_foreign_function "foreign_function" (id, size);
    proxy_on_downstream_connection_close "downstream_connection_close" (by);
    proxy_on_upstream_connection_close "upstream_connection_close" (by);
}
