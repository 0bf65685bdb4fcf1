-- What OpenResty's LuaJIT adds to tables.
local type, error, next, pairs = type, error, next, pairs

local function check(t, name)
  if type(t) ~= "table" then
    error("bad argument #1 to '" .. name .. "' (table expected, got " .. type(t) .. ")", 3)
  end
end

local tables = {}

function tables.isempty(t)
  check(t, "isempty")
  return next(t) == nil
end

-- No keys but numbers.
function tables.isarray(t)
  check(t, "isarray")
  for key in next, t do
    if type(key) ~= "number" then return false end
  end
  return true
end

function tables.nkeys(t)
  check(t, "nkeys")
  local count = 0
  for _ in next, t do count = count + 1 end
  return count
end

-- Without the metatable.
function tables.clone(t)
  check(t, "clone")
  local copy = {}
  for key, value in next, t do copy[key] = value end
  return copy
end

return tables
