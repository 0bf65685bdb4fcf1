-- The module as the gateway runs it: pilotlight test.
local t = require "pilotlight.test"

local CONFIG = "x-frame-options: DENY\nstrict-transport-security: max-age=1\n-server"
local tests = {}

function tests.headers_are_set_and_taken_away()
  local result = t.filter("filter.wasm", CONFIG):request { response = { headers = { server = "x", ["x-a"] = "1" } } }
  t.same(result.headers, { ["x-frame-options"] = "DENY", ["x-a"] = "1" })
end

function tests.the_upstream_has_the_first_word()
  local result = t.filter("filter.wasm", CONFIG):request { response = { headers = { ["x-frame-options"] = "SAMEORIGIN" } } }
  t.equal(result.headers["x-frame-options"], "SAMEORIGIN")
end

function tests.transport_security_is_for_tls()
  local result = t.filter("filter.wasm", CONFIG):request { scheme = "https", tls = {} }
  t.equal(result.headers["strict-transport-security"], "max-age=1")
end

function tests.it_lasts()
  local filter = t.filter("filter.wasm", CONFIG)
  for _ = 1, 2000 do t.equal(filter:request({}).headers["x-frame-options"], "DENY") end
end

function tests.lines_are_looked_at()
  t.fails(function() t.filter("filter.wasm", "nonsense") end)
end

return tests
