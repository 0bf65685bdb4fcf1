-- The module as the gateway runs it: pilotlight test.
local t = require "pilotlight.test"

local config = { rules = {
  { select = "h1", append = "!" },
  { select = "i", remove = true },
} }
local tests = {}

function tests.pages_are_rewritten()
  local result = t.filter("rewrite.wasm", config, { limits = { cpu = "5s" } }):request {
    response = { headers = { ["content-type"] = "text/html" }, body = { "<h1>a<", "i>b</i></h", "1>" } },
  }
  t.equal(result.body, "<h1>a!</h1>")
end

function tests.selectors_are_looked_at()
  t.fails(function() t.filter("rewrite.wasm", { rules = { { select = "a[" } } }) end)
end

return tests
