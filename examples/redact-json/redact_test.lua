-- The module as the gateway runs it: pilotlight test.
local t = require "pilotlight.test"

local json = { ["content-type"] = "application/json" }
local config = { fields = { "phone" } }
local tests = {}

function tests.pieces_are_masked_as_they_come()
  local result = t.filter("redact.wasm", config):request {
    response = { headers = json, body = { '{"pho', 'ne": "1', '2", "note": "to a@b', '.ch"}' } },
  }
  t.equal(result.body, '{"phone": "***", "note": "to ***"}')
  t.equal(result.headers["content-length"], nil)
end

function tests.other_kinds_pass()
  local result = t.filter("redact.wasm", config):request {
    response = { headers = { ["content-type"] = "text/plain" }, body = "a@b.ch" },
  }
  t.equal(result.body, "a@b.ch")
end

function tests.what_cannot_be_read_is_held_back()
  local result = t.filter("redact.wasm", config):request {
    response = { headers = { ["content-type"] = "application/json", ["content-encoding"] = "br" }, body = "x" },
  }
  t.equal(result.status, 502)
end

return tests
