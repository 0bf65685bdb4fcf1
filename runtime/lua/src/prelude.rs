//! Our own part of every VM: Lua that makes an API and a sandbox of the host's calls.

use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::os::raw::{c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use miniz_oxide::inflate::decompress_to_vec;
use pilotlight_filter::abi::limit;
use pilotlight_filter::host::Services;
use pilotlight_filter::{Fault, FaultKind};
use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use crate::calls;
use crate::guard;
use crate::kept;
use crate::stack::Stack;
use crate::vm::{ARRAY, BOOT, CURRENT, ENTRY, FIELDS, LONG, MARK, REQUEST, RESPONSE, STATE, Vm};
use crate::watchdog::KILL_MESSAGE;
use crate::window::World;

/// All files of `prelude/` by name, in the order of the names: bytecode, made by `build.rs`.
const FILES: &[(&str, Place)] = &include!(concat!(env!("OUT_DIR"), "/prelude.rs"));

/// The folders of `prelude/`, packed: each file behind the other.
const PACKS: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/packs.rs"));

/// What every VM begins with, in this order. The other files are parts that `pl.part` runs.
const FIRST: [&str; 6] = ["core", "text", "threads", "message", "gateway", "sandbox"];

/// Folders that VMs have asked for, unpacked: most of a folder is asked for, by each VM again.
static UNPACKED: Mutex<BTreeMap<&str, Arc<[u8]>>> = Mutex::new(BTreeMap::new());

/// Where a file's bytecode is.
enum Place {
    Plain(&'static [u8]),
    /// The folder, from where to where.
    Packed(&'static str, usize, usize),
}

/// A file's bytecode.
pub(crate) enum Code {
    Plain(&'static [u8]),
    Unpacked(Arc<[u8]>, Range<usize>),
}

impl Deref for Code {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Code::Plain(code) => code,
            Code::Unpacked(folder, place) => folder.get(place.clone()).unwrap_or_default(),
        }
    }
}

/// A file of the prelude.
pub(crate) fn file(name: &str) -> Option<Code> {
    let at = FILES.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    match FILES[at].1 {
        Place::Plain(code) => Some(Code::Plain(code)),
        Place::Packed(folder, from, to) => Some(Code::Unpacked(unpacked(folder)?, from..to)),
    }
}

fn unpacked(folder: &'static str) -> Option<Arc<[u8]>> {
    let mut unpacked = UNPACKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = unpacked.get(folder) {
        return Some(code.clone());
    }
    let packed = PACKS.iter().find(|pack| pack.0 == folder)?.1;
    let code: Arc<[u8]> = decompress_to_vec(packed).ok()?.into();
    unpacked.insert(folder, code.clone());
    Some(code)
}

/// Gives the unpacked folders back until a VM asks again.
pub(crate) fn rest() {
    UNPACKED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// A file's name in traces, which leave it out.
pub(crate) fn chunk_name(name: &str) -> String {
    format!("=pilotlight:{name}")
}

/// Runs the prelude's files in order; each gets the same table.
pub(crate) fn load(vm: &Vm, services: &Rc<dyn Services>, world: &World) -> Result<(), Fault> {
    let stack = vm.stack;
    stack.push_bytes(b"the filter ran over its limits");
    stack.keep_at(KILL_MESSAGE);
    push_host_table(vm, services);
    let table = stack.top();
    stack.push_table(1, 0);
    stack.set(table, b"current");
    kept::push_blank(stack);
    stack.keep_at(STATE);
    stack.push_bool(world.script.ffi);
    stack.set(table, b"ffi");
    stack.push_bool(world.script.io);
    stack.set(table, b"io");
    for name in FIRST {
        let missing = || Fault::new(FaultKind::Internal, format!("no prelude {name}"));
        vm.load(stack, &file(name).ok_or_else(missing)?, &chunk_name(name))?;
        stack.push_copy(table);
        // SAFETY: the function and its argument are on the stack.
        if unsafe { lua::lua_pcall(stack.raw(), 1, 0, 0) } != lua::LUA_OK {
            return Err(Fault::new(FaultKind::Internal, vm.message(stack)));
        }
    }
    for (name, place) in [
        ("array", ARRAY),
        ("request", REQUEST),
        ("response", RESPONSE),
        ("entry", ENTRY),
        ("boot", BOOT),
        ("fields", FIELDS),
        ("current", CURRENT),
        ("long", LONG),
    ] {
        stack.get(table, name);
        stack.keep_at(place);
    }
    stack.set_top(0);
    Ok(())
}

/// Loads a dialect's part before any script of it comes; where it can't, that one will say so.
pub(crate) fn prepare(vm: &Vm, dialect: &str) {
    vm.stack.push_kept(BOOT);
    vm.stack.push_bytes(dialect.as_bytes());
    // SAFETY: the function and its argument are on the stack.
    unsafe { lua::lua_pcall(vm.stack.raw(), 1, 0, 0) };
    vm.stack.set_top(0);
}

fn push_host_table(vm: &Vm, services: &Rc<dyn Services>) {
    let stack = vm.stack;
    stack.push_table(0, 16);
    stack.push_light(vm.window.cast());
    stack.set(-2, b"window");
    stack.push_light((&raw const MARK).cast());
    stack.set(-2, b"WAIT");
    stack.push_light(ptr::null());
    stack.set(-2, b"null");
    stack.push_number(limit::LUA_STRING as f64);
    stack.set(-2, b"string_max");
    stack.push_number(limit::LUA_COROUTINE_DEPTH as f64);
    stack.set(-2, b"depth_max");
    stack.push_number(limit::BODY_COLLECT as f64);
    stack.set(-2, b"body_max");
    let mut seed = [0; 4];
    services.random(&mut seed);
    stack.push_number(f64::from(u32::from_ne_bytes(seed)));
    stack.set(-2, b"seed");
    stack.push_table(0, 64);
    for fast in calls::fast() {
        stack.push_table(2, 0);
        stack.push_bytes(fast.1.as_bytes());
        stack.set_at(-2, 1);
        stack.push_light(fast.2);
        stack.set_at(-2, 2);
        stack.set(-2, fast.0.as_bytes());
    }
    stack.set(-2, b"fast");
    stack.push_table(0, 64);
    for slow in calls::slow() {
        guard::push(stack, slow.1);
        stack.set(-2, slow.0.as_bytes());
    }
    stack.set(-2, b"slow");
    let names = |names: &mut dyn Iterator<Item = &str>, key: &str| {
        stack.push_table(0, 32);
        for (index, name) in names.enumerate() {
            stack.push_number(index as f64);
            stack.set(-2, name.as_bytes());
        }
        stack.set(-2, key.as_bytes());
    };
    names(&mut calls::field::GETTERS.iter().map(|g| g.0), "getters");
    names(&mut calls::field::SETTERS.iter().map(|s| s.0), "setters");
    names(&mut calls::var::names(), "variables");
}

/// The bytecode of the function on top.
pub(crate) fn dump(stack: Stack) -> Vec<u8> {
    unsafe extern "C-unwind" fn write(
        _: *mut lua_State,
        at: *const c_void,
        len: usize,
        out: *mut c_void,
    ) -> c_int {
        // SAFETY: LuaJIT hands us our vector and a piece of bytecode.
        unsafe {
            let out = &mut *out.cast::<Vec<u8>>();
            out.extend_from_slice(std::slice::from_raw_parts(at.cast::<u8>(), len));
        }
        0
    }
    let mut out: Vec<u8> = Vec::new();
    // SAFETY: a Lua function is on top; the vector lives through the call.
    unsafe { lua::lua_dump_(stack.raw(), write, (&raw mut out).cast()) };
    out
}
