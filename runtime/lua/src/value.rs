//! Values between the Lua stack and the host.

use std::os::raw::c_int;

use pilotlight_filter::abi::Value;

use crate::stack::{Kind, Stack};
use crate::vm::LONG;

/// Tables inside tables.
const DEPTH: usize = 32;
/// Values of one table and what it holds.
const ITEMS: usize = 10_000;

/// Numbers are exact up to here.
pub(crate) const EXACT: f64 = 9_007_199_254_740_992.0;

/// Pushes a value.
pub(crate) fn push(stack: Stack, value: &Value) {
    push_value(stack, value, false);
}

/// Pushes a value; in a list null stands for nil, so that the list has its length.
pub(crate) fn push_full(stack: Stack, value: &Value) {
    push_value(stack, value, true);
}

fn push_value(stack: Stack, value: &Value, full: bool) {
    if !stack.reserve(4) {
        return stack.push_nil();
    }
    match value {
        Value::Nil => stack.push_nil(),
        Value::Bool(value) => stack.push_bool(*value),
        Value::Int(value) if value.unsigned_abs() > EXACT as u64 => {
            push_long(stack, *value as u64, true);
        }
        Value::Int(value) => stack.push_number(*value as f64),
        Value::Uint(value) => push_long(stack, *value, false),
        Value::Float(value) => stack.push_number(*value),
        Value::Bytes(value) => stack.push_bytes(value),
        Value::List(list) => {
            stack.push_table(list.len() as c_int, 0);
            for (index, value) in list.iter().enumerate() {
                match value {
                    Value::Nil if full => stack.push_light(std::ptr::null()),
                    value => push_value(stack, value, full),
                }
                stack.set_at(-2, index as c_int + 1);
            }
        }
        Value::Map(map) => {
            stack.push_table(0, map.len() as c_int);
            for (key, value) in map {
                push_value(stack, value, full);
                stack.set(-2, key.as_bytes());
            }
        }
    }
}

/// What may still be read: a string that is one to the VM may stand in a table a thousand times.
pub(crate) struct Room {
    items: usize,
    bytes: usize,
}

impl Room {
    pub(crate) fn new(bytes: u64) -> Room {
        Room { items: ITEMS, bytes: bytes as usize }
    }
}

/// Reads the value at `index`.
///
/// # Errors
/// Functions and such, and tables too deep, too large or with odd keys.
pub(crate) fn read(stack: Stack, index: c_int, room: &mut Room) -> Result<Value, &'static str> {
    read_within(stack, index, DEPTH, room)
}

fn read_within(
    stack: Stack,
    index: c_int,
    depth: usize,
    room: &mut Room,
) -> Result<Value, &'static str> {
    let index = stack.absolute(index);
    room.items = room.items.checked_sub(1).ok_or("a table is too large")?;
    Ok(match stack.kind(index) {
        Kind::Nil => Value::Nil,
        Kind::Bool => Value::Bool(stack.truth(index)),
        Kind::Number => Value::number(stack.number(index).unwrap_or_default()),
        Kind::Str => {
            let bytes = stack.bytes(index).unwrap_or_default();
            room.bytes = room.bytes.checked_sub(bytes.len()).ok_or("its strings are too large")?;
            Value::Bytes(bytes.to_vec())
        }
        Kind::Light if stack.light(index).is_null() => Value::Nil,
        Kind::Table => return read_table(stack, index, depth, room),
        Kind::Other if stack.kind_name(index) == "cdata" => {
            return read_long(stack, index)
                .ok_or("of cdata only 64-bit integers can be handed over");
        }
        _ => return Err("functions and coroutines can't be handed over"),
    })
}

/// Pushes LuaJIT's own 64-bit integer.
fn push_long(stack: Stack, bits: u64, signed: bool) {
    // A thread of its own: on one that waits nothing can be called.
    let aside = stack.push_thread();
    aside.push_kept(LONG);
    aside.push_number((bits >> 32) as f64);
    aside.push_number(f64::from(bits as u32));
    aside.push_bool(signed);
    if !aside.protected_call(3, 1) {
        // No memory for it: near enough is what there is.
        aside.push_number(if signed { bits as i64 as f64 } else { bits as f64 });
    }
    aside.hand_over(stack, 1);
    stack.remove(-2);
}

/// Reads LuaJIT's own 64-bit integer; `None` when it is other cdata.
fn read_long(stack: Stack, index: c_int) -> Option<Value> {
    if !stack.reserve(4) {
        return None;
    }
    stack.push_kept(LONG);
    stack.push_copy(index);
    if !stack.protected_call(1, 3) {
        stack.pop(1);
        return None;
    }
    let half = |at| stack.number(at).map(|half| half as u64);
    let bits = half(-3).zip(half(-2)).map(|(high, low)| high << 32 | low);
    let signed = stack.truth(-1);
    stack.pop(3);
    Some(match i64::try_from(bits?) {
        Ok(whole) => Value::Int(whole),
        Err(_) if signed => Value::Int(bits? as i64),
        Err(_) => Value::Uint(bits?),
    })
}

fn read_table(
    stack: Stack,
    index: c_int,
    depth: usize,
    room: &mut Room,
) -> Result<Value, &'static str> {
    if depth == 0 || !stack.reserve(8) {
        return Err("a table is nested too deeply");
    }
    let length = stack.length(index);
    if length > 0 {
        let mut list = Vec::with_capacity(length.min(room.items));
        for at in 1..=length {
            stack.get_at(index, at as c_int);
            let value = read_within(stack, -1, depth - 1, room);
            stack.pop(1);
            list.push(value?);
        }
        return Ok(Value::List(list));
    }
    let mut map = Vec::new();
    stack.push_nil();
    while stack.next(index) {
        let key = stack.bytes(-2).filter(|key| key.len() <= room.bytes);
        let Some(key) = key.map(|key| String::from_utf8_lossy(key).into_owned()) else {
            stack.pop(2);
            return Err("keys of a table must be short strings, or 1 to n");
        };
        room.bytes -= key.len().min(room.bytes);
        let value = read_within(stack, -1, depth - 1, room);
        stack.pop(1);
        match value {
            Ok(value) => map.push((key, value)),
            Err(error) => {
                stack.pop(1);
                return Err(error);
            }
        }
    }
    Ok(Value::Map(map))
}

/// The results of a C function: true, or nil and a message.
pub(crate) fn status(stack: Stack, result: Result<(), &str>) -> c_int {
    match result {
        Ok(()) => {
            stack.push_bool(true);
            1
        }
        Err(message) => refuse(stack, message),
    }
}

/// nil.
pub(crate) fn nothing(stack: Stack) -> c_int {
    stack.push_nil();
    1
}

/// nil and a message.
pub(crate) fn refuse(stack: Stack, message: &str) -> c_int {
    stack.push_nil();
    stack.push_bytes(message.as_bytes());
    2
}
