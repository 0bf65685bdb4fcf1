//! Hot calls compile into the traces of the loops that make them.

use std::rc::Rc;
use std::sync::Arc;

use mlua_sys as lua;
use pilotlight_core::shared::Dict;
use pilotlight_filter::abi::shared::{End, Found, Kept, Put, Scalar};
use pilotlight_filter::host::{Services, Shared};

use crate::vm::{BOOT, Vm};
use crate::window::World;

struct Timeless(Dict);

impl Shared for Timeless {
    fn get(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.0.get(key, text, 0.0)
    }

    fn get_stale(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.0.get_stale(key, text, 0.0)
    }

    fn put(&self, key: &[u8], value: Scalar<'_>, put: Put) -> Result<bool, &'static str> {
        self.0.put(key, value, put, 0.0)
    }

    fn incr(
        &self,
        key: &[u8],
        by: f64,
        init: Option<f64>,
        ttl: f64,
    ) -> Result<(f64, bool), &'static str> {
        self.0.incr(key, by, init, ttl, 0.0)
    }

    fn delete(&self, key: &[u8]) {
        self.0.delete(key);
    }

    fn expire(&self, key: &[u8], ttl: f64, revive: bool) -> bool {
        self.0.expire(key, ttl, revive, 0.0)
    }

    fn ttl(&self, key: &[u8]) -> Option<f64> {
        self.0.ttl(key, 0.0)
    }

    fn push(&self, key: &[u8], value: Scalar<'_>, end: End) -> Result<usize, &'static str> {
        self.0.push(key, value, end, 0.0)
    }

    fn pop(&self, key: &[u8], end: End, text: &mut Vec<u8>) -> Result<Option<Kept>, &'static str> {
        self.0.pop(key, end, text, 0.0)
    }

    fn len(&self, key: &[u8]) -> Result<usize, &'static str> {
        self.0.len(key, 0.0)
    }

    fn keys(&self, max: usize) -> Vec<Vec<u8>> {
        self.0.keys(max, 0.0)
    }

    fn flush(&self) {
        self.0.flush();
    }

    fn expire_all(&self) {
        self.0.expire_all(0.0);
    }

    fn flush_expired(&self, max: usize) -> usize {
        self.0.flush_expired(max, 0.0)
    }

    fn capacity(&self) -> u64 {
        self.0.capacity()
    }

    fn used(&self) -> u64 {
        self.0.used()
    }
}

struct Bench;

impl Services for Bench {
    fn shared(&self, _: &str) -> Option<Arc<dyn Shared>> {
        Some(Arc::new(Timeless(Dict::new(1 << 20))))
    }
}

/// Runs each loop with an ear on the compiler; tells of those that were not compiled, or with
/// detours. The prelude's own table is what its functions share.
const SCRIPT: &str = r#"
local boot, loops = ...
local pl
for index = 1, 255 do
  local name, value = debug.getupvalue(boot, index)
  if name == "pl" then pl = value break end
end
local util = require "jit.util"
local report = {}
local function watch(name, run)
  local made, aborts = 0, {}
  local function on(what, trace, func, pc, code)
    if what == "stop" then
      made = made + 1
    elseif what == "abort" then
      local info = util.funcinfo(func, pc)
      aborts[#aborts + 1] = tostring(info.loc) .. " (" .. tostring(code) .. ")"
    end
  end
  jit.flush()
  jit.attach(on, "trace")
  run()
  jit.attach(on)
  if made == 0 or #aborts > 0 then
    report[#report + 1] = name .. ": " .. made .. " traces, aborts: " .. table.concat(aborts, ", ")
  end
end
for name, source in loops:gmatch("(%w+)=([^\n]+)") do
  local world = pl.part("ngx/world")
  local env = setmetatable({
    re = world.ngx.re, dogs = world.ngx.shared.dogs, gre = pl.part("gateway/re"),
    gdogs = pl.gateway(nil, "bench").shared("dogs"),
  }, { __index = _G })
  local head = "local re, dogs, gre, gdogs = re, dogs, gre, gdogs local x = 0 dogs:set('n', 0) dogs:set('s', 'text') "
  local chunk = assert(loadstring(head .. "for i = 1, 400 do " .. source .. " end return x"))
  watch(name, setfenv(chunk, env))
end
return table.concat(report, "\n")
"#;

const LOOPS: &str = r#"
find=local from, to = re.find("hello, 1234", "([0-9])([0-9]+)", "jo") x = x + from + to
findnth=local from = re.find("hello, 1234", "([0-9])([0-9]+)", "jo", nil, 2) x = x + from
findnone=x = x + (re.find("hello", "[0-9]+", "jo") or 1)
match=local m = re.match("hello, 1234", "([a-z]+), ([0-9]+)", "jo") x = x + #m[1] + #m[2]
matchctx=local c = { pos = 3 } local m = re.match("hello, 1234", "[0-9]+", "jo", c) x = x + c.pos
sub=local s, n = re.sub("hello, 1234", "[0-9]", "<$0>", "jo") x = x + #s + n
gsub=local s, n = re.gsub("hello, 1234", "[0-9]", "<$0>", "jo") x = x + #s + n
native=local m = gre.match("hello, 1234", "([a-z]+), ([0-9]+)") x = x + #m[1]
nativefind=local from = gre.find("hello, 1234", "[0-9]+") x = x + from
get=x = x + #dogs:get("s") + dogs:get("n")
set=x = x + (dogs:set("s", "text") and 1 or 0)
setnumber=dogs:set("n", i, 10) x = x + dogs:get("n")
add=x = x + (dogs:add("s", 1) and 1 or 0)
incr=x = x + dogs:incr("n", 1)
incrinit=x = x + dogs:incr("m", 1, 0, 60)
nativeget=x = x + #gdogs:get("s") + gdogs:get("n")
nativeset=gdogs:set("s", "text", 5) x = x + gdogs:incr("n", 1)
"#;

#[test]
fn hot_calls_compile_without_detours() {
    let world = Arc::new(World { shared: vec!["dogs".into()], ..World::default() });
    let vm = Vm::new(16 << 20, Rc::new(Bench), &world).unwrap();
    let stack = vm.stack;
    vm.load(stack, SCRIPT.as_bytes(), "=bench").unwrap();
    stack.push_kept(BOOT);
    stack.push_bytes(LOOPS.as_bytes());
    // SAFETY: a function and its two arguments are on the stack of a VM that is at rest.
    let status = unsafe { lua::lua_pcall(stack.raw(), 2, 1, 0) };
    let report = stack.text(-1).unwrap_or_default();
    assert_eq!(status, lua::LUA_OK, "{report}");
    assert!(report.is_empty(), "{report}");
}
