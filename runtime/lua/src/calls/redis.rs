//! `gateway.redis`.

use std::os::raw::c_int;

use pilotlight_filter::abi::{Value, limit};
use pilotlight_filter::host::Wait;
use pilotlight_luajit::lua_State;

use super::Slow;
use super::gather::gather;
use crate::socket::redis::{Ask, Redis};
use crate::stack::{Kind, Stack};
use crate::value::refuse;
use crate::vm::window_of;
use crate::window::Window;
use pilotlight_filter::host::resp;

/// Commands of one pipeline.
const COMMANDS_MAX: usize = 10_000;

pub(crate) fn slow() -> [Slow; 3] {
    [Slow("redis_find", find), Slow("redis_call", call), Slow("redis_pipeline", pipeline)]
}

/// `redis_find(name)`: its index, or nil and the names there are.
unsafe extern "C-unwind" fn find(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let name = stack.text(1).unwrap_or_default();
    let all = &window.host.world.redis;
    if let Some(index) = all.iter().position(|spec| *spec.name == *name) {
        stack.push_number(index as f64);
        return 1;
    }
    let names: Vec<&str> = all.iter().map(|spec| &*spec.name).collect();
    let message = match names.is_empty() {
        true => format!("the manifest has no [redis.{name}]"),
        false => format!("the manifest has no [redis.{name}], but {}", names.join(", ")),
    };
    refuse(stack, &message)
}

/// Leaves a wait for the replies of a server, by its index at 1.
fn begin(stack: Stack, window: &mut Window, commands: Vec<u8>, ask: Ask) -> c_int {
    let index = stack.number(1).unwrap_or(-1.0) as usize;
    let Some(spec) = window.host.world.redis.get(index) else {
        return refuse(stack, "no such server");
    };
    let redis = Redis::new(&window.host.sockets, spec, window.host.services.clone());
    let wait: Wait<Result<Value, String>> = Box::pin(redis.call(commands, ask));
    window.host.pending = Some(Box::new(wait));
    stack.push_bool(true);
    1
}

/// Writes the command whose parts are `parts`.
fn write(
    stack: Stack,
    parts: impl ExactSizeIterator<Item = c_int>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let gathered: Result<Vec<_>, _> = parts
        .map(|at| match stack.kind(at) {
            Kind::Str | Kind::Number | Kind::Bool => gather(stack, at, limit::LUA_SOCKET_BYTES),
            _ => Err(format!(
                "a command is of strings and numbers, not of a {}",
                stack.kind_name(at)
            )),
        })
        .collect();
    let gathered = gathered?;
    let size: usize = gathered.iter().map(Vec::len).sum();
    if size > limit::LUA_SOCKET_BYTES - out.len().min(limit::LUA_SOCKET_BYTES) {
        return Err("too much data".to_owned());
    }
    resp::command(out, gathered.iter().map(Vec::as_slice));
    Ok(())
}

/// `redis_call(index, ...)`: true when there is a reply to wait for.
unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let mut commands = Vec::new();
    if stack.top() < 2 {
        return refuse(stack, "a command is needed");
    }
    let parts: Vec<c_int> = (2..=stack.top()).collect();
    match write(stack, parts.into_iter(), &mut commands) {
        Ok(()) => begin(stack, window, commands, Ask::One),
        Err(message) => refuse(stack, &message),
    }
}

/// `redis_pipeline(index, list of lists)`: true when there are replies to wait for.
unsafe extern "C-unwind" fn pipeline(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let count = stack.length(2);
    if count > COMMANDS_MAX {
        return refuse(stack, "too many commands");
    }
    let mut commands = Vec::new();
    for at in 1..=count {
        stack.get_at(2, at as c_int);
        let (list, parts) = (stack.top(), stack.length(stack.top()));
        if parts == 0 || !stack.reserve(parts as c_int + 8) {
            return refuse(stack, "a command is needed");
        }
        for part in 1..=parts {
            stack.get_at(list, part as c_int);
        }
        let all: Vec<c_int> = (list + 1..=stack.top()).collect();
        if let Err(message) = write(stack, all.into_iter(), &mut commands) {
            return refuse(stack, &message);
        }
        stack.set_top(2);
    }
    begin(stack, window, commands, Ask::Many(count))
}
