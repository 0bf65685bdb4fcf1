//! What holds for all files of the prelude.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use pilotlight_luajit as lua;

/// Finds the functions that end with a tail call of a built-in with one result: LuaJIT gives up each
/// trace that begins in one, and in the end compiles none of its callers either. In parentheses
/// (`return (floor(x))`) it is a call like others. Opcodes are read from samples.
const SCRIPT: &str = r#"
local source, name = ...
local util, band, shift = require "jit.util", bit.band, bit.rshift
local function instruction(f, pc)
  local ins = util.funcbc(f, pc)
  if ins then return band(ins, 0xff), band(shift(ins, 8), 0xff), shift(ins, 16) end
end
local ops = {}
local function op_of(key, code, pc) ops[(instruction(loadstring(code), pc))] = key end
op_of("CALLT", "return f()", 2)
op_of("CALLT", "return f(...)", 3)
op_of("GGET", "return f()", 1)
op_of("TGETS", "return f.x()", 2)
local upvalue = loadstring "local f return function() return f() end" ()
ops[(instruction(upvalue, 1))] = "UGET"

local one = {}
for word in ([[type setmetatable getmetatable tonumber tostring stock_tostring rawget rawset rawequal
  floor ceil abs max min format char sub rep lower upper concat band bor bxor lshift rshift bnot tobit
  text ffi_string]]):gmatch("%S+") do one[word] = true end
local methods = { format = true, sub = true, rep = true, lower = true, upper = true }
local homes = { string = true, table = true, math = true, bit = true, ffi = true, C = true }

local found = {}
local function walk(f)
  local info, names = util.funcinfo(f), {}
  for pc = 1, info.bytecodes - 1 do
    local op, a, d = instruction(f, pc)
    local kind = ops[op]
    if kind == "UGET" then
      names[a] = { util.funcuvname(f, d) }
    elseif kind == "GGET" then
      names[a] = { util.funck(f, -d - 1) }
    elseif kind == "TGETS" then
      local of = names[shift(d, 8)]
      names[a] = { util.funck(f, -band(d, 0xff) - 1), of and of[1] or "" }
    elseif kind == "CALLT" then
      local called = names[a]
      local name, home = called and called[1], called and called[2]
      if not home and one[name] or homes[home] or home == "" and methods[name] then
        found[#found + 1] = util.funcinfo(f, pc).loc .. " " .. tostring(name)
      end
    else
      names[a] = nil
    end
  end
  for index = -1, -info.gcconsts, -1 do
    local const = util.funck(f, index)
    if type(const) == "proto" then walk(const) end
  end
end
walk(assert(loadstring(source, "=" .. name)))
return table.concat(found, " ")
"#;

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, into),
            false if path.extension().is_some_and(|kind| kind == "lua") => into.push(path),
            false => {}
        }
    }
}

#[test]
fn no_function_ends_with_a_tail_call_of_a_built_in() {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/prelude"), &mut paths);
    assert!(paths.len() > 100);
    let mut found = Vec::new();
    // SAFETY: one state, one thread; what a call leaves is read before the next.
    unsafe {
        let state = lua::luaL_newstate();
        lua::luaL_openlibs(state);
        for path in &paths {
            let (source, script) = (fs::read(path).unwrap(), CString::new(SCRIPT).unwrap());
            let name = CString::new(path.file_name().unwrap().as_encoded_bytes()).unwrap();
            assert_eq!(lua::luaL_loadstring(state, script.as_ptr()), lua::LUA_OK);
            lua::lua_pushlstring_(state, source.as_ptr().cast(), source.len());
            lua::lua_pushstring_(state, name.as_ptr());
            let status = lua::lua_pcall(state, 2, 1, 0);
            let mut len = 0;
            let said = lua::lua_tolstring(state, -1, &raw mut len).cast::<u8>();
            let said = String::from_utf8_lossy(std::slice::from_raw_parts(said, len)).into_owned();
            assert_eq!(status, lua::LUA_OK, "{said}");
            found.extend(Some(said).filter(|said| !said.is_empty()));
            lua::lua_settop(state, 0);
        }
        lua::lua_close(state);
    }
    assert!(found.is_empty(), "put the calls in parentheses: {}", found.join(" "));
}
