//! What `load` and `require` need: text becomes a function, a module's file is found and read.

use std::ffi::CString;
use std::os::raw::{c_char, c_int, c_void};
use std::path::Path;

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use super::Slow;
use crate::guard::outside;
use crate::known;
use crate::prelude;
use crate::stack::Stack;
use crate::value::{nothing, refuse};
use crate::vm::window_of;
use crate::watchdog::{pause, proceed, stopping};
use crate::window::Host;

/// Source text of one chunk.
const SOURCE_MAX: usize = 512 * 1024;
/// The parser gets a text in such pieces: between two of them it can be stopped.
const PIECE: usize = 1024;

/// A text on its way into the parser.
struct Source<'a>(std::slice::Chunks<'a, u8>);

/// The next piece; none any more when the script is over its time.
unsafe extern "C-unwind" fn next_piece(
    _: *mut lua_State,
    source: *mut c_void,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: `compile` passes its own `Source`, LuaJIT a place for the length.
    let (source, len) = unsafe { (&mut *source.cast::<Source<'_>>(), &mut *len) };
    let piece = if stopping() { &[][..] } else { source.0.next().unwrap_or_default() };
    *len = piece.len();
    piece.as_ptr().cast()
}

pub(crate) fn slow() -> [Slow; 6] {
    [
        Slow("own_work", own_work),
        Slow("compile", compile),
        Slow("find_module", find_module),
        Slow("env", env),
        Slow("part", part),
        Slow("plan", plan),
    ]
}

/// `plan()`: what the manifest says to all scripts of the dialects: routes' variables, consumers and
/// Kong's rows as JSON, the bounds of timers.
unsafe extern "C-unwind" fn plan(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let world = window.host.world.clone();
    stack.push_table(0, 4);
    let texts = [
        ("vars", &world.vars),
        ("consumers", &world.consumers),
        ("kong", &world.kong),
        ("folder", &world.folder),
    ];
    for (name, text) in texts {
        stack.push_bytes(text.as_bytes());
        stack.set(-2, name.as_bytes());
    }
    let path = &world.script.path;
    stack.push_table(path.len() as c_int, 0);
    for (index, pattern) in path.iter().enumerate() {
        stack.push_bytes(pattern.as_bytes());
        stack.set_at(-2, index as c_int + 1);
    }
    stack.set(-2, b"path");
    let timers = world.script.timers;
    for (name, number) in [
        ("timers_pending", timers.pending),
        ("timers_running", timers.running),
        ("capture_log", world.script.capture_log as usize),
    ] {
        stack.push_number(number as f64);
        stack.set(-2, name.as_bytes());
    }
    1
}

/// `own_work(begins)`: the prelude works for itself, and its script's time stands still, until it has
/// done (`false`).
unsafe extern "C-unwind" fn own_work(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let begins = stack.truth(1);
    // What the prelude makes stays: the collector would walk it again and again as it grows.
    stack.hold_collector(begins);
    match begins {
        true => pause(),
        false => proceed(),
    }
    0
}

/// `part(name)`: a file of the prelude as a function; only the prelude reaches this.
unsafe extern "C-unwind" fn part(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let name = stack.text(1).unwrap_or_default();
    let Some(code) = prelude::file(&name) else { return nothing(stack) };
    let chunk = CString::new(prelude::chunk_name(&name)).unwrap_or_default();
    // SAFETY: our own bytecode, or text; the name ends with a NUL.
    unsafe {
        let (at, len) = (code.as_ptr().cast(), code.len());
        let load = || lua::luaL_loadbuffer(state, at, len, chunk.as_ptr());
        if outside(stack, load) != lua::LUA_OK {
            drop(chunk);
            return nothing(stack);
        }
    }
    1
}

/// `compile(text, name, environment)`: a function, or nil and the syntax error. Text only:
/// LuaJIT doesn't verify bytecode.
unsafe extern "C-unwind" fn compile(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let (Some(text), Some(name)) = (stack.bytes(1), stack.bytes(2)) else {
        return refuse(stack, "text and a name are needed");
    };
    if text.first() == Some(&lua::LUA_SIGNATURE[0]) {
        return refuse(stack, "attempt to load a binary chunk (only text is allowed)");
    }
    if text.len() > SOURCE_MAX {
        return refuse(stack, "the source is too large");
    }
    if name.contains(&0) {
        return refuse(stack, "a chunk's name can't hold a NUL");
    }
    let mut source = Source(text.chunks(PIECE));
    // SAFETY: Lua strings end with a NUL; both stay on the stack. 3 is the environment.
    unsafe {
        let name = name.as_ptr().cast::<c_char>();
        let load = || lua::lua_load(state, next_piece, (&raw mut source).cast(), name);
        let status = outside(stack, load);
        if status != lua::LUA_OK {
            stack.push_nil();
            lua::lua_insert(state, -2);
            return 2;
        }
        stack.push_copy(3);
        lua::lua_setfenv(state, -2);
    }
    1
}

/// `find_module(name)`: the text of the first file that the manifest's patterns lead to and its
/// path; or nil and the places tried.
unsafe extern "C-unwind" fn find_module(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Host { world, read, .. } = &mut window.host;
    let mut note = |path: &str, found: Option<&[u8]>| {
        read.iter_mut().for_each(|read| read.push((path.into(), found.map(known::sum))));
    };
    let name = stack.text(1).unwrap_or_default();
    let odd = |b: u8| !(b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    if name.is_empty() || name.bytes().any(odd) || name.contains("..") || name.starts_with('/') {
        return refuse(stack, "\n\tnot a module's name");
    }
    let below = name.replace('.', "/");
    let mut tried = String::new();
    for pattern in &world.script.path {
        let path = pattern.replace('?', &below);
        let found = std::fs::read(Path::new(&path));
        note(&path, found.as_deref().ok());
        match found {
            Ok(text) => {
                stack.push_bytes(&text);
                stack.push_bytes(path.as_bytes());
                return 2;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tried.push_str(&format!("\n\tno file '{path}'"));
            }
            Err(error) => tried.push_str(&format!("\n\tcan't read '{path}': {error}")),
        }
    }
    refuse(stack, &tried)
}

/// `env(name)`: an environment variable that the manifest lets scripts see.
unsafe extern "C-unwind" fn env(state: *mut lua_State) -> c_int {
    // SAFETY: as in `find_module`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let name = stack.text(1).unwrap_or_default();
    let Some((_, value)) = window.host.world.env.iter().find(|(key, _)| *key == name) else {
        return nothing(stack);
    };
    stack.push_bytes(value.as_bytes());
    1
}
