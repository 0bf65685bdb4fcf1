-- Runs the check whose number the request names, in the phase that the check is for. What it returns
-- stands in a dictionary afterwards: "ok" for true.
local inspect = require "inspect"

local tools = {}

-- Whether two values are the same, however deep; else both.
function tools.eq(got, wanted)
  if require("pl.tablex").deepcompare(got, wanted, true) then return true end
  return nil, "got " .. inspect(got) .. ", wanted " .. inspect(wanted)
end

-- Whether a call raises an error that holds a text.
function tools.fails(text, fn, ...)
  local ok, why = pcall(fn, ...)
  if not ok and tostring(why):find(text, 1, true) then return true end
  return nil, "it said " .. tostring(why)
end

-- Whether all of a list are true.
function tools.all(...)
  for index = 1, select("#", ...) do
    local one = select(index, ...)
    if one ~= true then return nil, "the " .. index .. ". is " .. inspect(one) end
  end
  return true
end

local env = setmetatable(tools, { __index = _G })

local function run(number, code)
  local fn, why = load(code, "=check", "t", env)
  local ok, result, info
  if fn then ok, result, info = pcall(fn) else ok, result = false, why end
  local text = "ok"
  if not ok then
    text = "raised " .. tostring(result)
  elseif result ~= true then
    text = tostring(info or inspect(result))
  end
  ngx.shared.results:set(number, text)
end

return function(phases)
  local handler = { PRIORITY = 1000, VERSION = "1.0.0" }
  for _, phase in ipairs(phases) do
    handler[phase] = function(_, conf)
      local number = ngx.var.http_x_check
      local check = conf.checks[tonumber(number)]
      if check and check.phase == phase then run(number, check.code) end
    end
  end
  function handler:configure(configs)
    for number, check in ipairs(configs[1].checks) do
      if check.phase == "init_worker" then run(tostring(number), check.code) end
    end
  end
  return handler
end
