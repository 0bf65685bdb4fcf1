//! `gateway.log`.

use std::os::raw::c_int;

use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{Level, LogLine};
use pilotlight_luajit::lua_State;

use super::Slow;
use crate::stack::{Kind, Stack};
use crate::value::{self, Room};
use crate::vm::window_of;
use crate::window::Window;

const MESSAGE_MAX: usize = 16 * 1024;
/// Bytes of a line's fields.
const FIELDS_MAX: u64 = 64 * 1024;

pub(crate) fn slow() -> [Slow; 2] {
    [Slow("log", log), Slow("log_request", log_request)]
}

pub(crate) fn level(number: f64) -> Level {
    match number as i32 {
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        _ => Level::Debug,
    }
}

/// Whether this call may write a line more.
fn may_write(window: &mut Window) -> bool {
    if window.host.log_left == 0 {
        window.host.log_lost += 1;
        if window.host.log_lost == 1 {
            let message = "too many log lines in one call: further ones are dropped";
            let filter = &window.host.filter.clone();
            let line = LogLine { level: Level::Warn, filter, id: "", message, fields: &[] };
            window.host.services.log(&line);
        }
        return false;
    }
    window.host.log_left -= 1;
    true
}

/// `log_request(level, message, severity, context)`: a line with what nginx says of the request beside it.
unsafe extern "C-unwind" fn log_request(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let level = level(stack.number(1).unwrap_or_default());
    if !window.host.services.logs(level) || !may_write(window) {
        return 0;
    }
    let message = stack.bytes(2).unwrap_or_default();
    let message = String::from_utf8_lossy(&message[..message.len().min(MESSAGE_MAX)]);
    let mut fields: Vec<(Box<str>, Value)> = Vec::with_capacity(6);
    let mut field = |name: &str, value: Value| fields.push((name.into(), value));
    field("severity", Value::from(&*stack.text(3).unwrap_or_default()));
    let mut id = Box::default();
    if let Some(context) = stack.text(4) {
        field("context", Value::from(&*context));
    }
    if let Some(exchange) = window.exchange() {
        id = exchange.id.clone();
        field("connection", Value::Int(exchange.peer.number as i64));
        // A handshake has no request.
        let has_request = exchange.peer.tls.is_some() || exchange.handshake.is_none();
        for name in ["remote_addr", "server_name", "request", "http_host"] {
            if !has_request && matches!(name, "request" | "http_host") {
                continue;
            }
            let shown = match name {
                "remote_addr" => "client",
                "server_name" => "server",
                "http_host" => "host",
                name => name,
            };
            if let Some(text) = super::var::text_of(exchange, name) {
                field(shown, Value::Bytes(text));
            }
        }
    }
    let filter = &window.host.filter;
    window.host.services.log(&LogLine {
        level,
        filter,
        id: &id,
        message: &message,
        fields: &fields,
    });
    0
}

/// `log(level, message, fields)`: true, or nil and why the fields can't be written.
unsafe extern "C-unwind" fn log(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let level = level(stack.number(1).unwrap_or_default());
    if !window.host.services.logs(level) {
        return value::status(stack, Ok(()));
    }
    if !may_write(window) {
        return value::status(stack, Ok(()));
    }
    let mut message = stack.bytes(2).unwrap_or_default();
    message = &message[..message.len().min(MESSAGE_MAX)];
    let mut fields: Vec<(Box<str>, Value)> = Vec::new();
    if stack.kind(3) == Kind::Table {
        match value::read(stack, 3, &mut Room::new(FIELDS_MAX)) {
            Ok(Value::Map(map)) => fields.extend(map.into_iter().map(|(k, v)| (k.into(), v))),
            Ok(list) => fields.push(("fields".into(), list)),
            Err(error) => return value::refuse(stack, error),
        }
    }
    let id = window.exchange().map(|e| e.id.clone()).unwrap_or_default();
    window.host.services.log(&LogLine {
        level,
        filter: &window.host.filter,
        id: &id,
        message: &String::from_utf8_lossy(message),
        fields: &fields,
    });
    value::status(stack, Ok(()))
}
