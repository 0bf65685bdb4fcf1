-- The module as the gateway runs it: pilotlight test.
local t = require "pilotlight.test"

local function status(path)
  return t.filter("filter.wasm", "/admin\n*/.git"):request({ path = path }).status
end

local tests = {}

function tests.patterns_turn_away()
  t.equal(status "/shop", 200)
  t.equal(status "/admin/users", 403)
  t.equal(status "/%61dmin", 403)
  t.equal(status "//admin", 403)
  t.equal(status "/shop/.git/config", 403)
  t.equal(status "/shop?next=/admin", 200)
end

function tests.hidden_paths_are_turned_away()
  t.equal(status "/a%5cb", 400)
end

function tests.patterns_are_looked_at()
  t.fails(function() t.filter("filter.wasm", "admin") end)
  t.fails(function() t.filter("filter.wasm", ("/x\n"):rep(65)) end)
end

return tests
