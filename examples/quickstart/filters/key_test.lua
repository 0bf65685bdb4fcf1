-- Tests of key.lua: pilotlight test examples/quickstart
local t = require "pilotlight.test"

local config = { keys = { demo = "a visitor" }, widest = 1000 }
local tests = {}

function tests.who_shows_no_key_is_told_so()
  local result = t.filter("key.lua", config):request { path = "/pictures/lamp.png" }
  t.equal(result.status, 401)
  t.equal(result.headers["www-authenticate"], "ApiKey")
  t.equal(result.request, nil)
end

function tests.a_key_lets_in_and_stays_here()
  local result = t.filter("key.lua", config):request { headers = { ["x-api-key"] = "demo" } }
  t.equal(result.answered_by, "upstream")
  t.equal(result.request.headers["x-api-key"], nil)
  t.same(result.log, { who = "a visitor" })
end

function tests.the_width_is_handed_on_or_refused()
  local filter = t.filter("key.lua", config)
  local function ask(w)
    return filter:request { path = "/?w=" .. w, headers = { ["x-api-key"] = "demo" } }
  end
  t.equal(ask("160").request.headers["x-width"], "160")
  for _, wrong in ipairs { "0", "1001", "2.5", "x" } do
    t.equal(ask(wrong).status, 400, wrong)
  end
end

function tests.a_filter_without_keys_does_not_load()
  t.fails(function() t.filter("key.lua", {}) end, "keys is required")
end

return tests
