-- Tests of count.lua: pilotlight test examples/sleep
local t = require "pilotlight.test"

local tests = {}

function tests.visits_are_counted()
  local filter = t.filter("count.lua")
  t.equal(filter:request({}).headers["x-visits"], "1")
  t.equal(filter:request({}).headers["x-visits"], "2")
end

return tests
