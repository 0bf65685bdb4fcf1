//! Hot calls compile into the traces of the loops that make them.

mod tails;

use std::rc::Rc;
use std::sync::Arc;

use pilotlight_core::shared::{Dict, Timed};
use pilotlight_filter::host::{Services, Shared};
use pilotlight_luajit as lua;

use crate::vm::{BOOT, Vm};
use crate::window::World;

struct Bench;

impl Services for Bench {
    fn shared(&self, _: &str) -> Option<Arc<dyn Shared>> {
        Some(Arc::new(Timed::new(Dict::new(1 << 20), || 0.0)))
    }
}

/// Runs each loop with an ear on the compiler, and tells of those that did not become one trace
/// that goes round, met what does not compile, or still made it try when they were warm. Finding
/// its way it may give up a try for a better one: by leaving a loop, entering one, or unrolling it.
const SCRIPT: &str = r#"
local boot, loops = ...
local pl
for index = 1, 255 do
  local name, value = debug.getupvalue(boot, index)
  if name == "pl" then pl = value break end
end
local util = require "jit.util"
local LEAVES, ENTERS, UNROLLS = 8, 9, 10
local report = {}
local function watch(name, run)
  local starts, round, warm, bad = {}, false, false, {}
  local function on(what, trace, func, pc, code)
    if what == "start" then
      starts[trace] = func
    elseif what == "stop" then
      if starts[trace] == run and util.traceinfo(trace).linktype == "loop" then round = true end
    elseif what == "abort" and (warm or code ~= LEAVES and code ~= ENTERS and code ~= UNROLLS) then
      bad[#bad + 1] = tostring(util.funcinfo(func, pc).loc) .. " (" .. tostring(code) .. ")"
    end
  end
  jit.flush()
  jit.attach(on, "trace")
  for _ = 1, 5 do run() end
  warm = true
  run()
  jit.attach(on)
  if not round then bad[#bad + 1] = "its loop is no trace" end
  if #bad > 0 then report[#report + 1] = name .. ": " .. table.concat(bad, ", ") end
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
