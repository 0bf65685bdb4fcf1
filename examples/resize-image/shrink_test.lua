-- pilotlight test; the module is that of pilotlight.toml.
local t = require "pilotlight.test"
local imaging = gateway.wasm "imaging"

-- A PNG of one point.
local DOT = gateway.base64.decode
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
local tests = {}

function tests.the_module_knows_a_picture()
  t.equal(imaging.describe(DOT), "png 1x1")
  local nothing, why = imaging.describe "no picture"
  t.equal(nothing, nil)
  t.equal(type(why), "string")
end

function tests.what_fits_stays()
  local result = t.filter "shrink.lua":request {
    path = "/dot.png?w=10", response = { headers = { ["content-type"] = "image/png" }, body = DOT },
  }
  t.equal(result.headers["x-picture"], "png 1x1")
  t.equal(result.body, DOT)
end

function tests.what_is_broken_passes_as_it_came()
  local result = t.filter "shrink.lua":request {
    path = "/dot.png?w=10", response = { headers = { ["content-type"] = "image/png" }, body = "broken" },
  }
  t.equal(result.body, "broken")
  t.equal(result.logs[#result.logs].message, "not resized")
end

return tests
