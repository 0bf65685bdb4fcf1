-- Tests of NAME.lua: pilotlight test. Each function runs in a world of its own.
local t = require "pilotlight.test"

local tests = {}

function tests.hello_is_answered()
  local filter = t.filter("NAME.lua", { greeting = "good morning" })
  local result = filter:request { path = "/hello" }
  t.equal(result.status, 200)
  t.equal(result.body, "good morning\n")
  t.equal(result.answered_by, "filter")
end

function tests.others_go_to_the_upstream()
  local filter = t.filter "NAME.lua"
  local result = filter:request { path = "/other", response = { status = 404, body = "none" } }
  t.equal(result.request.headers["x-greeting"], "hello")
  t.equal(result.status, 404)
  t.equal(result.headers["x-served-by"], "NAME")
end

function tests.the_log_says_how_long_it_took()
  local filter = t.filter "NAME.lua"
  t.same(filter:request { path = "/hello" }.log, { took = 0 })
end

return tests
