//! A thin layer over a Lua stack: what may be called outside of protected mode.
//!
//! Nothing here calls into a script: all access is raw. Allocation can't fail here as long as
//! the arena is not strict (see `arena`); inside a C function a failure unwinds as Lua errors do.

use std::os::raw::{c_int, c_void};

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

use crate::guard::outside;

/// What LuaJIT's compiler may do, as its C API numbers it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Compiler {
    Off = 0,
    On = 0x0100,
    /// Throw away all that it has compiled.
    Flush = 0x0200,
}

unsafe extern "C-unwind" {
    fn luaJIT_setmode(state: *mut lua_State, index: c_int, mode: c_int) -> c_int;
}

/// What a Lua value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nil,
    Bool,
    Light,
    Number,
    Str,
    Table,
    Function,
    Other,
}

/// The stack of a Lua thread.
#[derive(Clone, Copy)]
pub(crate) struct Stack(*mut lua_State);

impl Stack {
    /// # Safety
    /// The thread is alive as long as the `Stack` is used, on its VM's own OS thread.
    #[inline]
    pub(crate) unsafe fn new(state: *mut lua_State) -> Stack {
        Stack(state)
    }

    #[inline]
    pub(crate) fn raw(self) -> *mut lua_State {
        self.0
    }
}

// SAFETY of the blocks below, one for all: the state is alive by the contract of `new`; indexes
// come from this crate and are in range; each function leaves the stack as its name says.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Stack {
    #[inline]
    pub(crate) fn top(self) -> c_int {
        unsafe { lua::lua_gettop(self.0) }
    }

    #[inline]
    pub(crate) fn set_top(self, top: c_int) {
        unsafe { lua::lua_settop(self.0, top) }
    }

    #[inline]
    pub(crate) fn pop(self, count: c_int) {
        unsafe { lua::lua_settop(self.0, -count - 1) }
    }

    /// Makes sure of room for `count` more values; false when there is none.
    #[inline(never)]
    pub(crate) fn reserve(self, count: c_int) -> bool {
        outside(self, || unsafe { lua::lua_checkstack(self.0, count) != 0 })
    }

    pub(crate) fn kind(self, index: c_int) -> Kind {
        match unsafe { lua::lua_type(self.0, index) } {
            lua::LUA_TNIL | lua::LUA_TNONE => Kind::Nil,
            lua::LUA_TBOOLEAN => Kind::Bool,
            lua::LUA_TLIGHTUSERDATA => Kind::Light,
            lua::LUA_TNUMBER => Kind::Number,
            lua::LUA_TSTRING => Kind::Str,
            lua::LUA_TTABLE => Kind::Table,
            lua::LUA_TFUNCTION => Kind::Function,
            _ => Kind::Other,
        }
    }

    /// The type's name as scripts know it.
    pub(crate) fn kind_name(self, index: c_int) -> &'static str {
        match self.kind(index) {
            Kind::Nil => "nil",
            Kind::Bool => "boolean",
            Kind::Light => "userdata",
            Kind::Number => "number",
            Kind::Str => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::Other => match unsafe { lua::lua_type(self.0, index) } {
                lua::LUA_TUSERDATA => "userdata",
                lua::LUA_TTHREAD => "thread",
                _ => "cdata",
            },
        }
    }

    /// The bytes of a string (not of a number), as long as it stays on the stack.
    pub(crate) fn bytes<'a>(self, index: c_int) -> Option<&'a [u8]> {
        if self.kind(index) != Kind::Str {
            return None;
        }
        let mut len = 0;
        unsafe {
            let at = lua::lua_tolstring(self.0, index, &raw mut len);
            Some(std::slice::from_raw_parts(at.cast::<u8>(), len))
        }
    }

    /// The bytes of a string, or of a number, which becomes one in its place.
    pub(crate) fn digits<'a>(self, index: c_int) -> Option<&'a [u8]> {
        if self.kind(index) == Kind::Number {
            unsafe { lua::lua_tolstring(self.0, index, std::ptr::null_mut()) };
        }
        self.bytes(index)
    }

    /// A string as text, what is not UTF-8 replaced.
    pub(crate) fn text(self, index: c_int) -> Option<String> {
        self.bytes(index).map(|b| String::from_utf8_lossy(b).into_owned())
    }

    #[inline]
    pub(crate) fn number(self, index: c_int) -> Option<f64> {
        (self.kind(index) == Kind::Number).then(|| unsafe { lua::lua_tonumber(self.0, index) })
    }

    pub(crate) fn truth(self, index: c_int) -> bool {
        unsafe { lua::lua_toboolean(self.0, index) != 0 }
    }

    pub(crate) fn light(self, index: c_int) -> *mut c_void {
        match self.kind(index) {
            Kind::Light => unsafe { lua::lua_touserdata(self.0, index) },
            _ => std::ptr::null_mut(),
        }
    }

    /// The identity of a table or function.
    pub(crate) fn pointer(self, index: c_int) -> *const c_void {
        unsafe { lua::lua_topointer(self.0, index) }
    }

    pub(crate) fn length(self, index: c_int) -> usize {
        unsafe { lua::lua_objlen(self.0, index) }
    }

    #[inline]
    pub(crate) fn push_nil(self) {
        unsafe { lua::lua_pushnil(self.0) }
    }

    #[inline]
    pub(crate) fn push_bool(self, value: bool) {
        unsafe { lua::lua_pushboolean(self.0, c_int::from(value)) }
    }

    #[inline]
    pub(crate) fn push_number(self, value: f64) {
        unsafe { lua::lua_pushnumber(self.0, value) }
    }

    #[inline]
    pub(crate) fn push_bytes(self, value: &[u8]) {
        unsafe { lua::lua_pushlstring_(self.0, value.as_ptr().cast(), value.len()) }
    }

    pub(crate) fn push_light(self, value: *const c_void) {
        unsafe { lua::lua_pushlightuserdata(self.0, value.cast_mut()) }
    }

    pub(crate) fn push_function(self, function: lua::lua_CFunction) {
        unsafe { lua::lua_pushcclosure(self.0, function, 0) }
    }

    #[inline]
    pub(crate) fn push_copy(self, index: c_int) {
        unsafe { lua::lua_pushvalue(self.0, index) }
    }

    #[inline]
    pub(crate) fn push_table(self, list: c_int, fields: c_int) {
        unsafe { lua::lua_createtable(self.0, list, fields) }
    }

    /// A thread of the same VM, pushed here.
    pub(crate) fn push_thread(self) -> Stack {
        Stack(unsafe { lua::lua_newthread(self.0) })
    }

    /// Takes a value out from below others.
    pub(crate) fn remove(self, index: c_int) {
        unsafe { lua::lua_remove(self.0, index) }
    }

    /// A coroutine.
    pub(crate) fn thread(self, index: c_int) -> Option<Stack> {
        let thread = unsafe { lua::lua_tothread(self.0, index) };
        (!thread.is_null()).then_some(Stack(thread))
    }

    /// Moves the values on top to another thread of the same VM.
    pub(crate) fn hand_over(self, to: Stack, count: c_int) {
        unsafe { lua::lua_xmove(self.0, to.0, count) }
    }

    /// Pushes what the registry holds at `place`.
    #[inline]
    pub(crate) fn push_kept(self, place: c_int) {
        unsafe { lua::pl_push_kept(self.0, place) }
    }

    /// Pushes a copy of the table that it holds there.
    #[inline]
    pub(crate) fn push_copy_of(self, place: c_int) {
        unsafe { lua::pl_push_copy_of(self.0, place) }
    }

    /// Calls one of the host's own functions, which is below its arguments; false: what it left is a
    /// message.
    pub(crate) fn protected_call(self, arguments: c_int, results: c_int) -> bool {
        unsafe { lua::lua_pcall(self.0, arguments, results, 0) == lua::LUA_OK }
    }

    /// Pops a value into the registry.
    #[inline]
    pub(crate) fn keep_at(self, place: c_int) {
        unsafe { lua::pl_keep(self.0, place) }
    }

    /// Holds nothing there any more.
    #[inline]
    pub(crate) fn vacate(self, place: c_int) {
        unsafe { lua::pl_vacate(self.0, place) }
    }

    /// What the registry holds at `place` becomes the first value of its table at `table`.
    #[inline]
    pub(crate) fn show(self, table: c_int, place: c_int) {
        unsafe { lua::pl_show(self.0, table, place) }
    }

    /// `table[key] = text` of the table on top, if it has nothing there yet.
    #[inline]
    pub(crate) fn put_text(self, key: &[u8], text: &[u8]) -> bool {
        let (key_at, text_at) = (key.as_ptr().cast(), text.as_ptr().cast());
        unsafe { lua::pl_put_text(self.0, key_at, key.len(), text_at, text.len()) != 0 }
    }

    /// Pushes `table[key]`.
    pub(crate) fn get(self, table: c_int, key: &str) {
        let table = self.absolute(table);
        self.push_bytes(key.as_bytes());
        unsafe { lua::lua_rawget_(self.0, table) }
    }

    /// What `read` finds in `table[key]`.
    pub(crate) fn field<T>(
        self,
        table: c_int,
        key: &str,
        read: impl FnOnce(Stack, c_int) -> T,
    ) -> T {
        self.get(table, key);
        let found = read(self, -1);
        self.pop(1);
        found
    }

    /// Pops a value into the table below it: under `key`, where a second value makes a list of both.
    pub(crate) fn append(self, key: &[u8]) {
        // Below: the table, the value.
        self.push_bytes(key);
        self.push_copy(-1);
        self.get_raw(-4);
        match self.kind(-1) {
            Kind::Nil => {
                self.pop(1);
                unsafe {
                    lua::lua_insert(self.0, -2);
                    lua::lua_rawset(self.0, -3);
                }
            }
            Kind::Table => {
                let length = self.length(-1);
                self.push_copy(-3);
                self.set_at(-2, length as c_int + 1);
                self.pop(3);
            }
            _ => {
                self.push_table(2, 0);
                self.push_copy(-2);
                self.set_at(-2, 1);
                self.push_copy(-4);
                self.set_at(-2, 2);
                unsafe {
                    lua::lua_remove(self.0, -2);
                    lua::lua_rawset(self.0, -4);
                }
                self.pop(1);
            }
        }
    }

    /// Pops a key and pushes `table[key]`.
    pub(crate) fn get_raw(self, table: c_int) {
        unsafe { lua::lua_rawget_(self.0, table) }
    }

    /// Pushes `table[index]`.
    #[inline]
    pub(crate) fn get_at(self, table: c_int, index: c_int) {
        unsafe { lua::lua_rawgeti_(self.0, table, index) }
    }

    /// `table[key] = value`, which is on top and is popped.
    pub(crate) fn set(self, table: c_int, key: &[u8]) {
        let table = self.absolute(table);
        self.push_bytes(key);
        unsafe {
            lua::lua_insert(self.0, -2);
            lua::lua_rawset(self.0, table);
        }
    }

    /// Pops a value and a key below it: `table[key] = value`.
    pub(crate) fn set_raw(self, table: c_int) {
        unsafe { lua::lua_rawset(self.0, table) }
    }

    /// `table[index] = value`, which is on top and is popped.
    #[inline]
    pub(crate) fn set_at(self, table: c_int, index: c_int) {
        unsafe { lua::lua_rawseti_(self.0, table, index) }
    }

    /// Pops a table and makes it the metatable of the value at `index`.
    #[inline]
    pub(crate) fn set_metatable(self, index: c_int) {
        unsafe { lua::lua_setmetatable(self.0, index) };
    }

    /// Pushes the metatable, if there is one.
    pub(crate) fn push_metatable(self, index: c_int) -> bool {
        unsafe { lua::lua_getmetatable(self.0, index) != 0 }
    }

    /// Pops a key, pushes the next key and value, if there are.
    pub(crate) fn next(self, table: c_int) -> bool {
        unsafe { lua::lua_next(self.0, table) != 0 }
    }

    pub(crate) fn absolute(self, index: c_int) -> c_int {
        if index > 0 || index <= lua::LUA_REGISTRYINDEX { index } else { self.top() + index + 1 }
    }

    /// Tells the compiler what to do.
    pub(crate) fn compiler(self, what: Compiler) {
        unsafe { luaJIT_setmode(self.0, 0, what as c_int) };
    }

    /// Keeps the collector from beginning; afterwards it is due when the VM has grown by its pause.
    pub(crate) fn hold_collector(self, held: bool) {
        const BY_PAUSE: c_int = -1;
        unsafe {
            match held {
                true => lua::lua_gc(self.0, lua::LUA_GCSTOP, 0),
                false => lua::lua_gc(self.0, lua::LUA_GCRESTART, BY_PAUSE),
            };
        }
    }

    /// Where the functions of a thread stand, innermost first, a line each; of many the first and the
    /// last ones, as Lua shows them.
    pub(crate) fn trace(self) -> String {
        const FIRST: c_int = 12;
        const LAST: c_int = 10;
        let mut depth = self.depth();
        // What the host called it by does not count.
        while depth > 0 && self.frame(depth - 1).is_none() {
            depth -= 1;
        }
        let mut text = String::new();
        let mut line = |written: &str| {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push('\t');
            text.push_str(written);
        };
        for level in 0..depth {
            if depth > FIRST + LAST && (FIRST..depth - LAST).contains(&level) {
                if level == FIRST {
                    line("...");
                }
                continue;
            }
            if let Some(written) = self.frame(level) {
                line(&written);
            }
        }
        text
    }

    /// How many functions stand on it.
    fn depth(self) -> c_int {
        let mut frame: lua::lua_Debug = unsafe { std::mem::zeroed() };
        let mut is_there = |level| unsafe { lua::lua_getstack(self.0, level, &raw mut frame) != 0 };
        let (mut low, mut high) = (0, 1);
        while is_there(high) {
            (low, high) = (high, high.saturating_mul(2));
        }
        if low == 0 && !is_there(0) {
            return 0;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            *(if is_there(middle) { &mut low } else { &mut high }) = middle;
        }
        low + 1
    }

    /// A function in words; nothing of the host's own.
    fn frame(self, level: c_int) -> Option<String> {
        let mut frame: lua::lua_Debug = unsafe { std::mem::zeroed() };
        let text_of = |at| unsafe { std::ffi::CStr::from_ptr(at) }.to_string_lossy();
        unsafe {
            if lua::lua_getstack(self.0, level, &raw mut frame) == 0 {
                return None;
            }
            lua::lua_getinfo(self.0, c"Sln".as_ptr(), &raw mut frame);
        }
        let source = text_of(frame.short_src.as_ptr());
        // The host's own functions go without names, and call without.
        let is_nameless = frame.name.is_null() || text_of(frame.name).is_empty();
        let is_foreign = source.starts_with("[C]") && is_nameless;
        if is_foreign || source.starts_with("pilotlight:") {
            return None;
        }
        let name = match is_nameless {
            _ if text_of(frame.what) == "main" => "main chunk".to_owned(),
            false => format!("function '{}'", text_of(frame.name)),
            true => format!("function <{source}:{}>", frame.linedefined),
        };
        // LuaJIT has forgotten where a dead coroutine's innermost function was: the message says it.
        Some(match frame.currentline {
            line @ 1.. => format!("{source}:{line}: in {name}"),
            _ => format!("{source}: in {name}"),
        })
    }
}
