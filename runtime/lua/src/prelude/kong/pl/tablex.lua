-- pl.tablex: the functions that plugins use of it.
local type, pairs, ipairs, next, setmetatable, getmetatable, error, tostring =
  type, pairs, ipairs, next, setmetatable, getmetatable, error, tostring
local insert, sort = table.insert, table.sort

local tablex = {}

function tablex.keys(map)
  local list = {}
  for key in pairs(map) do list[#list + 1] = key end
  return list
end

function tablex.values(map)
  local list = {}
  for _, value in pairs(map) do list[#list + 1] = value end
  return list
end

function tablex.size(map)
  local count = 0
  for _ in pairs(map) do count = count + 1 end
  return count
end

function tablex.copy(map)
  local copy = {}
  for key, value in pairs(map) do copy[key] = value end
  return copy
end

function tablex.update(map, more)
  for key, value in pairs(more) do map[key] = value end
  return map
end

local function deep(value, seen)
  if type(value) ~= "table" then return value end
  if seen[value] then return seen[value] end
  local copy = {}
  seen[value] = copy
  for key, one in pairs(value) do copy[deep(key, seen)] = deep(one, seen) end
  local meta = getmetatable(value)
  return type(meta) == "table" and setmetatable(copy, meta) or copy
end
function tablex.deepcopy(value) return deep(value, {}) end

local function close(a, b, eps)
  if type(a) == "number" and type(b) == "number" and eps then return math.abs(a - b) <= eps end
  return a == b
end

function tablex.deepcompare(a, b, without_meta, eps)
  if type(a) ~= "table" or type(b) ~= "table" then return close(a, b, eps) end
  local meta = getmetatable(a)
  if not without_meta and type(meta) == "table" and meta.__eq then return a == b end
  for key, value in pairs(a) do
    if b[key] == nil or not tablex.deepcompare(value, b[key], without_meta, eps) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

function tablex.compare(a, b, same)
  if #a ~= #b then return false end
  for index = 1, #a do
    if not same(a[index], b[index]) then return false end
  end
  return true
end

-- Lists of the same values, in whatever order.
function tablex.compare_no_order(a, b, same)
  if #a ~= #b then return false end
  same = same or function(x, y) return x == y end
  local used = {}
  for index = 1, #a do
    local found
    for place = 1, #b do
      if not used[place] and same(a[index], b[place]) then
        found = place
        break
      end
    end
    if not found then return false end
    used[found] = true
  end
  return true
end

function tablex.find(list, wanted, from)
  for index = from or 1, #list do
    if list[index] == wanted then return index end
  end
  return nil
end

function tablex.find_if(list, holds, arg)
  for index = 1, #list do
    local answer = holds(list[index], arg)
    if answer then return index, answer end
  end
  return nil
end

function tablex.map(fn, map, ...)
  local made = {}
  for key, value in pairs(map) do made[key] = fn(value, ...) end
  return made
end

function tablex.imap(fn, list, ...)
  local made = {}
  for index = 1, #list do made[index] = fn(list[index], ...) or false end
  return made
end

function tablex.pairmap(fn, map, ...)
  local made = {}
  for key, value in pairs(map) do
    local new, name = fn(key, value, ...)
    if name ~= nil then made[name] = new else insert(made, new) end
  end
  return made
end

function tablex.filter(list, holds, arg)
  local kept = {}
  for index = 1, #list do
    if holds(list[index], arg) then kept[#kept + 1] = list[index] end
  end
  return kept
end

function tablex.reduce(fn, list, memo)
  local from = 1
  if memo == nil then
    memo = list[1]
    from = 2
  end
  for index = from, #list do memo = fn(memo, list[index]) end
  return memo
end

function tablex.foreach(map, fn, ...)
  for key, value in pairs(map) do fn(value, key, ...) end
end
function tablex.foreachi(list, fn, ...)
  for index = 1, #list do fn(list[index], index, ...) end
end

-- Common keys; with `all`, the keys of both.
function tablex.merge(a, b, all)
  local merged = {}
  for key, value in pairs(a) do
    if all or b[key] ~= nil then merged[key] = value end
  end
  for key, value in pairs(b) do
    if all or a[key] ~= nil then merged[key] = value end
  end
  return merged
end
function tablex.union(a, b) return tablex.merge(a, b, true) end
function tablex.intersection(a, b) return tablex.merge(a, b, false) end

function tablex.difference(a, b, both)
  local left = {}
  for key, value in pairs(a) do
    if b[key] == nil then left[key] = value end
  end
  if both then
    for key, value in pairs(b) do
      if a[key] == nil then left[key] = value end
    end
  end
  return left
end

function tablex.makeset(list)
  local set = {}
  for index = 1, #list do set[list[index]] = true end
  return set
end

function tablex.index_map(list)
  local map = {}
  for index = 1, #list do map[list[index]] = index end
  return map
end

function tablex.sub(list, from, to)
  from, to = from or 1, to or #list
  if from < 0 then from = #list + from + 1 end
  if to < 0 then to = #list + to + 1 end
  local part = {}
  for index = from, math.min(to, #list) do part[#part + 1] = list[index] end
  return part
end

function tablex.insertvalues(list, at, values)
  if not values then at, values = #list + 1, at end
  for index = #values, 1, -1 do insert(list, at, values[index]) end
  return list
end

function tablex.range(from, to, step)
  local list = {}
  for value = from, to, step or 1 do list[#list + 1] = value end
  return list
end

-- In the order of the keys; of the values.
local function sorted(by)
  return function(map, before)
    local keys = tablex.keys(map)
    sort(keys, by(map, before))
    local index = 0
    return function()
      index = index + 1
      if keys[index] ~= nil then return keys[index], map[keys[index]] end
    end
  end
end
tablex.sort = sorted(function(_, before) return before end)
tablex.sortv = sorted(function(map, before)
  before = before or function(a, b) return a < b end
  return function(a, b) return before(map[a], map[b]) end
end)

function tablex.readonly(map)
  return (setmetatable({}, {
    __index = map,
    __newindex = function() error("Attempt to modify read-only table", 2) end,
    __len = function() return #map end,
    __pairs = function() return next, map, nil end,
    __metatable = false,
  }))
end

function tablex.search(map, wanted)
  local seen = {}
  local function look(within, path)
    if seen[within] then return nil end
    seen[within] = true
    for key, value in pairs(within) do
      local name = path and path .. "." .. tostring(key) or tostring(key)
      if value == wanted then return name end
      local found = type(value) == "table" and look(value, name)
      if found then return found end
    end
  end
  return look(map)
end

function tablex.zip(...)
  local lists, made = { ... }, {}
  for index = 1, #lists[1] do
    made[index] = {}
    for place, list in ipairs(lists) do made[index][place] = list[index] end
  end
  return made
end

return tablex
