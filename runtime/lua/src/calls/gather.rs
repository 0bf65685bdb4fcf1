//! What scripts send: a string, a number, or a list of such, however deep.

use std::os::raw::c_int;

use pilotlight_luajit as lua;

use crate::stack::{Kind, Stack};

/// Lists inside lists.
const DEPTH: usize = 32;

/// The bytes of the value at `index`, at most `most`.
///
/// # Errors
/// What is wrong with the value, in OpenResty's words.
pub(crate) fn gather(stack: Stack, index: c_int, most: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    match stack.kind(index) {
        Kind::Nil => out.extend_from_slice(b"nil"),
        Kind::Bool if stack.truth(index) => out.extend_from_slice(b"true"),
        Kind::Bool => out.extend_from_slice(b"false"),
        Kind::Str | Kind::Number | Kind::Table => {
            put(stack, stack.absolute(index), &mut Gathered { out: &mut out, most }, DEPTH)?;
        }
        _ => {
            let kind = type_name(stack, index);
            return Err(format!(
                "string, number, boolean, nil, or array table expected, got {kind}"
            ));
        }
    }
    Ok(out)
}

struct Gathered<'a> {
    out: &'a mut Vec<u8>,
    most: usize,
}

impl Gathered<'_> {
    fn add(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() > self.most - self.out.len() {
            return Err("too much data".to_owned());
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

fn put(stack: Stack, index: c_int, to: &mut Gathered<'_>, depth: usize) -> Result<(), String> {
    match stack.kind(index) {
        Kind::Str => to.add(stack.bytes(index).unwrap_or_default()),
        Kind::Number => {
            stack.push_copy(index);
            let mut len = 0;
            // SAFETY: the copy on top becomes a string, which is read before it is popped.
            let added = unsafe {
                let at = lua::lua_tolstring(stack.raw(), -1, &raw mut len);
                to.add(std::slice::from_raw_parts(at.cast::<u8>(), len))
            };
            stack.pop(1);
            added
        }
        Kind::Table if depth == 0 || !stack.reserve(8) => Err("table nested too deeply".to_owned()),
        Kind::Table => {
            for at in 1..=list_length(stack, index)? {
                stack.get_at(index, at);
                let put = put(stack, stack.top(), to, depth - 1);
                stack.pop(1);
                put?;
            }
            Ok(())
        }
        _ => Err(format!("bad data type {} found", type_name(stack, index))),
    }
}

/// The largest key of a table that has no others but whole numbers from 1.
fn list_length(stack: Stack, index: c_int) -> Result<c_int, String> {
    let mut length = 0;
    stack.push_nil();
    while stack.next(index) {
        stack.pop(1);
        let key = stack.number(-1).filter(|key| key.fract() == 0.0);
        match key {
            Some(key) if (1.0..=f64::from(c_int::MAX)).contains(&key) => {
                length = length.max(key as c_int);
            }
            _ => {
                stack.pop(1);
                return Err("non-array table found".to_owned());
            }
        }
    }
    Ok(length)
}

/// The type as Lua calls it.
fn type_name(stack: Stack, index: c_int) -> &'static str {
    // SAFETY: the stack is alive.
    match unsafe { lua::lua_type(stack.raw(), index) } {
        lua::LUA_TUSERDATA => "userdata",
        lua::LUA_TTHREAD => "thread",
        lua::LUA_TNIL..=lua::LUA_TFUNCTION => stack.kind_name(index),
        _ => "cdata",
    }
}
