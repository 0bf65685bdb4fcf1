-- kong.tools.table
local clone = require "table.clone"
local fast_array = require "table.isarray"

local type, pairs, ipairs, next, select, tostring, floor, unpack =
  type, pairs, ipairs, next, select, tostring, math.floor, unpack
local setmetatable, getmetatable, error = setmetatable, getmetatable, error

local tables = {}

tables.EMPTY = setmetatable({}, {
  __newindex = function() error("Attempt to modify read-only table", 2) end,
  __metatable = false,
})

function tables.pack(...) return { n = select("#", ...), ... } end
function tables.unpack(list, from, to) return unpack(list, from or 1, to or list.n or #list) end

function tables.table_merge(bottom, top)
  local merged = {}
  for key, value in pairs(bottom or {}) do merged[key] = value end
  for key, value in pairs(top or {}) do merged[key] = value end
  return merged
end

-- A null on top hides nothing.
function tables.null_aware_table_merge(bottom, top)
  local merged = {}
  for key, value in pairs(bottom or {}) do merged[key] = value end
  for key, value in pairs(top or {}) do
    if merged[key] == nil or value ~= ngx.null then merged[key] = value end
  end
  return merged
end

function tables.table_contains(list, wanted)
  for _, value in pairs(list or {}) do
    if value == wanted then return true end
  end
  return false
end

local modes = {
  fast = fast_array,
  lapis = function(list)
    local index = 0
    for _ in pairs(list) do
      index = index + 1
      if list[index] == nil and list[tostring(index)] == nil then return false end
    end
    return true
  end,
  strict = function(list)
    local count, most = 0, 0
    for key in pairs(list) do
      if type(key) ~= "number" or key < 1 or floor(key) ~= key then return false end
      count = count + 1
      if key > most then most = key end
    end
    return count == most
  end,
}

function tables.is_array(list, mode)
  if type(list) ~= "table" then return false end
  return (modes[mode] or modes.strict)(list)
end

function tables.is_lapis_array(list) return tables.is_array(list, "lapis") end

function tables.shallow_copy(value)
  if type(value) ~= "table" then return value end
  return clone(value)
end

function tables.deep_copy(value, with_metatables)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, one in next, value do
    copy[tables.deep_copy(key)] = tables.deep_copy(one, with_metatables)
  end
  if with_metatables ~= false then setmetatable(copy, tables.deep_copy(getmetatable(value))) end
  return copy
end

function tables.cycle_aware_deep_copy(value, without_metatables, keys_too, seen)
  if type(value) ~= "table" then return value end
  seen = seen or {}
  if seen[value] then return seen[value] end
  local copy = {}
  seen[value] = copy
  for key, one in pairs(value) do
    if keys_too then
      key = tables.cycle_aware_deep_copy(key, without_metatables, true, seen)
    end
    copy[key] = tables.cycle_aware_deep_copy(one, without_metatables, keys_too, seen)
  end
  local meta = getmetatable(value)
  if type(meta) == "table" and not without_metatables then setmetatable(copy, meta) end
  return copy
end

local function merge_into(copy, more, deep)
  for key, value in pairs(more) do
    if type(value) == "table" and type(copy[key]) == "table" then
      copy[key] = merge_into(copy[key], value, deep)
    else
      copy[key] = deep(value)
    end
  end
  return copy
end

function tables.deep_merge(bottom, top)
  return merge_into(tables.deep_copy(bottom), top, tables.deep_copy)
end

function tables.cycle_aware_deep_merge(bottom, top, without_metatables, keys_too, seen)
  seen = seen or {}
  local copy = tables.cycle_aware_deep_copy(bottom, without_metatables, keys_too, seen)
  return merge_into(copy, top, function(value)
    return tables.cycle_aware_deep_copy(value, without_metatables, keys_too, seen)
  end)
end

function tables.concat(...)
  local all = {}
  for _, list in ipairs { ... } do
    for _, value in ipairs(list) do all[#all + 1] = value end
  end
  return all
end

-- Several errors of one key become a list.
local Errors = {}

function tables.add_error(errors, key, text)
  errors = errors or {}
  local known = errors[key]
  if not known then
    errors[key] = text
  elseif getmetatable(known) == Errors then
    known[#known + 1] = text
  else
    errors[key] = setmetatable({ known, text }, Errors)
  end
  return errors
end

function tables.table_path(value, path)
  for _, key in ipairs(path) do
    if type(value) ~= "table" or value[key] == nil then return nil end
    value = value[key]
  end
  return value
end

return tables
