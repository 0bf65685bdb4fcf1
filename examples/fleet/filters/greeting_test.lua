local t = require "pilotlight.test"

local tests = {}

function tests.visitors_are_greeted()
  local filter = t.filter("greeting.lua", { node = "n1" })
  local answer = filter:request({ headers = { ["x-user"] = "ann" } })
  t.equal(answer.status, 200)
end

return tests
