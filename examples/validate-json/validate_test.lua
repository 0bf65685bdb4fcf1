-- The module as the gateway runs it: pilotlight test.
local t = require "pilotlight.test"

local config = { schema = { type = "object", required = { "id" }, properties = { id = { type = "integer" } } } }

local function sent(body, kind)
  return t.filter("validate.wasm", config, { limits = { cpu = "5s" } }):request {
    method = "POST", body = body, headers = { ["content-type"] = kind or "application/json" },
  }
end

local tests = {}

function tests.what_fits_goes_on()
  local result = sent { '{"id"', ": 7}" }
  t.equal(result.request.body, '{"id": 7}')
end

function tests.what_does_not_is_told_why()
  local result = sent '{"id": "x"}'
  t.equal(result.status, 422)
  t.equal(gateway.json.decode(result.body).mistakes[1].at, "/id")
  t.equal(result.request, nil)
end

function tests.other_kinds_are_refused() t.equal(sent("id=1", "text/plain").status, 415) end

function tests.a_schema_is_looked_at()
  t.fails(function() t.filter("validate.wasm", { schema = { type = "cake" } }) end)
end

return tests
