-- Tests of the module, as the gateway runs it: ./build, then `pilotlight test`.
local t = require "pilotlight.test"

local tests = {}

function tests.it_greets()
  local filter = t.filter("filter.wasm", "good day")
  local result = filter:request { headers = { ["user-agent"] = "curl" } }
  t.equal(result.status, 200)
  t.equal(result.headers["x-greeting"], "good day")
end

function tests.it_turns_away()
  local result = t.filter("filter.wasm"):request {}
  t.equal(result.status, 403)
  t.equal(result.body, "who are you?\n")
  t.equal(result.request, nil)
end

function tests.it_refuses_a_long_greeting()
  t.fails(function() t.filter("filter.wasm", ("x"):rep(65)) end)
end

return tests
