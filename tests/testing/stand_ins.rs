//! What stands in for the world: time, fetches, dictionaries, metrics.

use super::{fails, passes};

#[test]
fn the_clock_goes_on_when_it_is_told() {
    passes(&[
        (
            "f.lua",
            r#"
local f = {}
local ticks = 0
gateway.every(1, function() ticks = ticks + 1 end)
function f.request(req)
  if req.path == "/slow" then gateway.sleep(30) end
  if req.path == "/later" then
    gateway.after(2.5, function() gateway.shared("s"):set("came", gateway.now()) end)
  end
  return { status = 200, body = tostring(ticks) }
end
return f"#,
        ),
        (
            "f_test.lua",
            r#"
local t = require "pilotlight.test"
local tests = {}
function tests.tasks_run_by_it()
  local filter = t.filter "f.lua"
  t.equal(filter:request {}.body, "0")
  t.clock(3)
  t.equal(filter:request {}.body, "3")
  t.clock(0.5)
  t.equal(filter:request {}.body, "3")
end
function tests.who_sleeps_is_not_waited_for()
  local before = t.clock()
  t.equal(t.filter("f.lua"):request { path = "/slow" }.status, 200)
  t.equal(t.clock() - before, 30)
end
function tests.entries_expire()
  local dict = gateway.shared "s"
  dict:set("k", "v", 10)
  t.clock(9.9)
  t.equal(dict:get "k", "v")
  t.clock(0.2)
  t.equal(dict:get "k", nil)
end
function tests.what_is_started_comes_later()
  local began = t.clock()
  t.filter("f.lua"):request { path = "/later" }
  t.clock(2)
  t.equal(gateway.shared("s"):get "came", nil, "and nothing is left of other tests")
  t.clock(1)
  t.equal(gateway.shared("s"):get "came", began + 2.5)
end
return tests"#,
        ),
    ]);
}

const FETCHES: &str = r#"
local f = {}
function f.request(req)
  local answer, why = gateway.fetch {
    url = "http://auth.test/" .. req.path:sub(2), method = "POST", body = "who?",
    headers = { ["X-Token"] = req.headers["x-token"] }, timeout = 5,
  }
  if not answer then return { status = 503, body = why } end
  return { status = answer.status, body = answer.body, headers = { ["x-kind"] = answer.headers.kind } }
end
return f"#;

#[test]
fn fetches_are_answered_by_the_test() {
    passes(&[
        ("f.lua", FETCHES),
        (
            "f_test.lua",
            r#"
local t = require "pilotlight.test"
local tests = {}
function tests.by_a_table()
  t.fetch("http://auth.test/a", { status = 201, headers = { Kind = "x" }, body = "made" })
  local r = t.filter("f.lua"):request { path = "/a", headers = { ["x-token"] = "7" } }
  t.same({ r.status, r.body, r.headers["X-Kind"] }, { 201, "made", "x" })
  t.equal(#r.fetches, 1)
  t.equal(r.fetches[1].headers["x-token"], "7")
  t.equal(r.fetches[1].body, "who?")
end
function tests.by_a_function()
  local seen = 0
  t.fetch("http://auth.test/*", function(request)
    seen = seen + 1
    return { status = 200, body = request.method .. " " .. request.url .. " " .. request.body }
  end)
  t.fetch("http://auth.test/other", "just text")
  local filter = t.filter "f.lua"
  t.equal(filter:request { path = "/b" }.body, "POST http://auth.test/b who?")
  t.equal(filter:request { path = "/other" }.body, "just text")
  t.equal(seen, 1)
end
function tests.by_an_error()
  t.fetch("http://auth.test/down", { error = "connection refused" })
  t.fetch("http://auth.test/slow", { body = "too late", delay = 6 })
  local filter = t.filter "f.lua"
  t.equal(filter:request { path = "/down" }.body, "connection refused")
  local before = t.clock()
  t.equal(filter:request { path = "/slow" }.body, "timeout")
  t.equal(t.clock() - before, 5)
end
return tests"#,
        ),
    ]);
    let text = fails(FETCHES, "t.equal(t.filter('f.lua'):request { path = '/x' }.status, 503)");
    let said = "POST http://auth.test/x was fetched, and nothing stands in for it";
    assert!(text.contains(said), "{text}");
}

#[test]
fn metrics_and_logs_are_seen() {
    passes(&[
        (
            "f.lua",
            r#"
local f = {}
function f.request(req)
  gateway.metric.counter("seen", { path = req.path }):add(2)
  gateway.metric.histogram("sizes"):observe(3)
  gateway.log.warn("careful", { path = req.path })
end
return f"#,
        ),
        (
            "f_test.lua",
            r#"
local t = require "pilotlight.test"
return { all = function()
  local filter = t.filter "f.lua"
  filter:request { path = "/a" }
  local r = filter:request { path = "/a" }
  t.equal(t.metric("seen", { path = "/a" }), 4)
  t.equal(t.metric "nothing", nil)
  t.same(t.metric "sizes", { count = 2, sum = 6 })
  t.same(r.logs, {
    { level = "warn", filter = "f", message = "careful", fields = { path = "/a" } },
  })
end }"#,
        ),
    ]);
}

#[test]
fn who_waits_for_nothing_fails() {
    let filter = r#"
local f = {}
function f.request() while true do gateway.sleep(60) end end
return f"#;
    let text = fails(filter, "t.filter('f.lua'):request {}");
    assert!(text.contains("f_test.lua:4: the filter still waits in its phase request"), "{text}");
}
