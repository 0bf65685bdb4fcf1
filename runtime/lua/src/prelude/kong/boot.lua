-- A Kong plugin as phases of the gateway's: its handler's functions run as steps of nginx's phases.
local pl = ...
local scripts = pl.part("ngx/boot")
local slow, type, error, pairs = pl.slow, type, error, pl.pairs

pl.part "kong/dialect"
local plugins = pl.part("ngx/world").G.require "kong.runloop.plugin"

-- Without the marks of JSON arrays, which Kong's code would replace.
local function plain(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, one in pairs(value) do copy[key] = plain(one) end
  return copy
end

-- `config` is JSON. Answers what `pl.boot` does.
return function(plugin, name, config)
  local given = {}
  if config ~= "" then
    local decoded, why = slow.json_decode(config)
    if decoded == nil then error("config: " .. why, 0) end
    given = decoded
  end
  return scripts(plugins.open(plugin, name, plain(given)), "{}")
end
