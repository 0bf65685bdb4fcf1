//! Where a request comes from, and where it goes instead.

use std::os::raw::c_int;
use std::time::Duration;

use pilotlight_filter::abi::Value;
use pilotlight_filter::{Exchange, Pick};
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::stack::{Kind, Stack};
use crate::value::{nothing, refuse, status};
use crate::vm::window_of;
use crate::window::{NONE, NUMBER, Window};

/// The name of the property by which a subrequest finds what its parent handed it.
pub(crate) const HANDED: &str = "lua.handed";

pub(crate) fn fast() -> [Fast; 1] {
    [fast!("parent", parent(window) -> int)]
}

pub(crate) fn slow() -> [Slow; 4] {
    [
        Slow("reroute", reroute),
        Slow("handed", handed),
        Slow("pick", pick),
        Slow("last_failure", last_failure),
    ]
}

/// Whether this is a subrequest; `num` is its parent's serial.
unsafe fn parent(window: *mut Window) -> c_int {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    let Some(parent) = window.exchange().and_then(|exchange| exchange.parent) else { return NONE };
    window.num = parent.serial as f64;
    NUMBER
}

/// `reroute(name)` or `reroute(nil, path, query)`: where the request goes, once its phase has ended
/// with that. True, or nil and why not.
unsafe extern "C-unwind" fn reroute(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return refuse(stack, "no request found") };
    if let Some(name) = stack.text(1) {
        exchange.reroute = Some(name.into());
        return status(stack, Ok(()));
    }
    exchange.reroute = None;
    let path = stack.bytes(2).unwrap_or_default();
    let head = &mut exchange.request.head;
    let set = head.set_path(path).and_then(|()| head.set_query(stack.bytes(3)));
    status(stack, set.map_err(|_| "unsafe uri"))
}

/// `handed()`: the number under which the parent of a subrequest has put what it hands over.
unsafe extern "C-unwind" fn handed(state: *mut lua_State) -> c_int {
    // SAFETY: as in `reroute`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    match window.exchange().and_then(|exchange: &mut Exchange| exchange.property(HANDED)) {
        Some(Value::Int(number)) => stack.push_number(*number as f64),
        _ => stack.push_nil(),
    }
    1
}

/// `pick({ host, port, server_name, tls, connect, read, more_tries })`: the server of the next try.
unsafe extern "C-unwind" fn pick(state: *mut lua_State) -> c_int {
    // SAFETY: as in `reroute`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return refuse(stack, "no request found") };
    let number =
        |key: &str| stack.field(1, key, Stack::number).filter(|n| n.is_finite() && *n >= 0.0);
    let text = |key: &str| stack.field(1, key, Stack::text).map(Box::<str>::from);
    let seconds = |key: &str| number(key).map(|s| Duration::from_secs_f64(s.min(86_400.0)));
    let bool = |stack: Stack, at| (stack.kind(at) == Kind::Bool).then(|| stack.truth(at));
    exchange.pick = Some(Box::new(Pick {
        host: text("host").unwrap_or_default(),
        port: number("port").map_or(0, |port| port as u16),
        tls: stack.field(1, "tls", bool),
        server_name: text("server_name"),
        connect: seconds("connect"),
        read: seconds("read"),
        more_tries: number("more_tries").map_or(0, |tries| tries as u32),
    }));
    status(stack, Ok(()))
}

/// `last_failure()`: how the try before went wrong, "failed" or "next", and its status; nil at first.
unsafe extern "C-unwind" fn last_failure(state: *mut lua_State) -> c_int {
    // SAFETY: as in `reroute`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(failure) = window.exchange().and_then(|exchange| exchange.failure) else {
        return nothing(stack);
    };
    stack.push_bytes(if failure.answered { b"next" } else { b"failed" });
    stack.push_number(f64::from(failure.status));
    2
}
