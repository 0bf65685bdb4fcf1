-- What the checks of the tables of names are written with.
local checks = {}

-- A value as text, keys in order.
local function show(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local parts = {}
  for key, inner in pairs(value) do parts[#parts + 1] = "[" .. show(key) .. "] = " .. show(inner) end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

-- Whether two values are the same, however deep; else both.
function checks.eq(got, wanted)
  if same(got, wanted) then return true end
  return nil, "got " .. show(got) .. ", wanted " .. show(wanted)
end

-- Whether a call raises an error that holds a text.
function checks.fails(text, fn, ...)
  local ok, why = pcall(fn, ...)
  if not ok and tostring(why):find(text, 1, true) then return true end
  return nil, "it said " .. tostring(why)
end

-- Whether all of a list are true.
function checks.all(...)
  for index = 1, select("#", ...) do
    local one = select(index, ...)
    if one ~= true then return nil, "the " .. index .. ". is " .. show(one) end
  end
  return true
end

local env = setmetatable(checks, { __index = _G })

-- Runs a check: "ok", or what is wrong.
return function(code, more)
  for name, value in pairs(more or {}) do env[name] = value end
  local fn, why = load(code, "=check", "t", env)
  if not fn then return "raised " .. why end
  local ok, result, info = pcall(fn)
  if not ok then return "raised " .. tostring(result) end
  if result == true then return "ok" end
  return tostring(info or show(result))
end
