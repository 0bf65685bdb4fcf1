-- string and table functions that can't be interrupted or can grow without end, made anew.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local find_fast, match_fast, gmatch_fast, gsub_fast = C.find, C.match, C.gmatch, C.gsub
local at, size = window.at, window.size
local LIMIT = pl.string_max
-- Scripts of the dialects put whole bodies together.
function pl.longer(bytes) LIMIT = bytes end
local NO_MATCH, MORE = -2, -3

local type, error, select, tonumber, getmetatable = type, error, select, tonumber, getmetatable
local rawget, rawset, pcall, setmetatable = rawget, rawset, pcall, setmetatable
local sub, byte = string.sub, string.byte
local running = coroutine.running
local buffer = require "string.buffer"

local function bad(index, name, want, got, level)
  error("bad argument #" .. index .. " to '" .. name .. "' (" .. want .. " expected, got "
    .. (got == nil and "no value" or type(got)) .. ")", (level or 1) + 2)
end

-- Strings and numbers are strings here, as in the stock library.
local stock_tostring = tostring
local function str(value, index, name)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return (stock_tostring(value)) end
  bad(index, name, "string", value, 2)
end

local function int(value, default, index, name)
  if value == nil then return default end
  local number = tonumber(value)
  if not number then bad(index, name, "number", value, 2) end
  if number ~= number then return default end
  if number > 2147483647 then return 2147483647 end
  if number < -2147483647 then return -2147483647 end
  if number < 0 then return -math.floor(-number) end
  return (math.floor(number))
end

local function broken()
  error(text(window.ptr, window.len), 3)
end

-- One capture of the last match; the whole match when there are none.
local function capture(s, index)
  local length, start = size[index], at[index]
  if length < 0 then
    if length == -2 then error("unfinished capture", 3) end
    return start + 1
  end
  return (sub(s, start + 1, start + length))
end

local function rest(s, index, count)
  if index == count - 1 then return capture(s, index) end
  return capture(s, index), rest(s, index + 1, count)
end

local function captures(s, count)
  if count == 0 then return (sub(s, window.from + 1, window.to)) end
  if count == 1 then return capture(s, 0) end
  if count == 2 then return capture(s, 0), capture(s, 1) end
  return rest(s, 0, count)
end

-- Where a search begins, from 0; nil when it can't find anything.
local function offset(s, init)
  local length = #s
  if init < 0 then init = length + init + 1 end
  if init < 1 then init = 1 end
  if init > length + 1 then init = length + 1 end
  return init - 1
end

local function find(s, pattern, init, plain)
  s, pattern = str(s, 1, "find"), str(pattern, 2, "find")
  local start = offset(s, int(init, 1, 3, "find"))
  if plain then start = -start - 1 end
  local count = find_fast(window, s, #s, pattern, #pattern, start)
  if count == NO_MATCH then return nil end
  if count < 0 then broken() end
  if count == 0 then return window.from + 1, window.to end
  return window.from + 1, window.to, captures(s, count)
end

local function match(s, pattern, init)
  s, pattern = str(s, 1, "match"), str(pattern, 2, "match")
  local start = offset(s, int(init, 1, 3, "match"))
  local count = match_fast(window, s, #s, pattern, #pattern, start)
  if count == NO_MATCH then return nil end
  if count < 0 then broken() end
  return captures(s, count)
end

local function gmatch(s, pattern)
  s, pattern = str(s, 1, "gmatch"), str(pattern, 2, "gmatch")
  local start = 0
  return function()
    if start > #s then return nil end
    local count = gmatch_fast(window, s, #s, pattern, #pattern, start)
    if count == NO_MATCH then
      start = #s + 1
      return nil
    end
    if count < 0 then broken() end
    start = window.to
    if window.to == window.from then start = start + 1 end
    return captures(s, count)
  end
end

-- The loop is here, so that a callback runs as any Lua function does and may wait.
local function gsub_by(s, pattern, with, max)
  local anchored = byte(pattern) == 94
  local out, src, count = buffer.new(), 0, 0
  local is_table = type(with) == "table"
  while count < max do
    local found
    if anchored then
      found = match_fast(window, s, #s, pattern, #pattern, src)
    else
      found = gmatch_fast(window, s, #s, pattern, #pattern, src)
    end
    if found == NO_MATCH then break end
    if found < 0 then broken() end
    count = count + 1
    local from, to = window.from, window.to
    out:put(sub(s, src + 1, from))
    local value
    if is_table then
      value = with[found == 0 and sub(s, from + 1, to) or capture(s, 0)]
    else
      value = with(captures(s, found))
    end
    if not value then
      out:put(sub(s, from + 1, to))
    else
      local kind = type(value)
      if kind ~= "string" and kind ~= "number" then
        error("invalid replacement value (a " .. kind .. ")", 3)
      end
      out:put(value)
    end
    if #out > LIMIT and #out > #s then error("result too large", 3) end
    src = to
    if to == from then
      if src >= #s then src = #s break end
      out:put(sub(s, src + 1, src + 1))
      src = src + 1
    end
    if anchored then break end
  end
  out:put(sub(s, src + 1))
  return out:tostring(), count
end

local function gsub(s, pattern, with, max)
  s, pattern = str(s, 1, "gsub"), str(pattern, 2, "gsub")
  max = int(max, #s + 1, 4, "gsub")
  if max > #s + 1 then max = #s + 1 end
  local kind = type(with)
  if kind == "function" or kind == "table" then return gsub_by(s, pattern, with, max) end
  if kind ~= "string" and kind ~= "number" then bad(3, "gsub", "string/function/table", with) end
  with = str(with, 3, "gsub")
  window.from, window.to = 0, 0
  local code = gsub_fast(window, s, #s, pattern, #pattern, with, #with, max)
  if code == 0 then return text(window.ptr, window.len), window.from end
  local parts = buffer.new()
  while code == MORE do
    parts:put(text(window.ptr, window.len))
    if #parts > LIMIT and #parts > #s then error("result too large", 2) end
    code = gsub_fast(window, s, #s, pattern, #pattern, with, #with, max)
  end
  if code ~= 0 then broken() end
  parts:put(text(window.ptr, window.len))
  return parts:tostring(), window.from
end

local stock_rep = string.rep
local function rep(s, count, separator)
  s = str(s, 1, "rep")
  count = int(count, 0, 2, "rep")
  local between = 0
  if separator ~= nil then
    separator = str(separator, 3, "rep")
    between = #separator
  end
  if count > 0 and #s * count + between * (count - 1) > LIMIT then
    error("result too large", 2)
  end
  -- An empty piece costs nothing but time.
  if #s + between == 0 or count < 1 then return "" end
  if separator then return stock_rep(s, count, separator) end
  return stock_rep(s, count)
end

-- How deep __tostring is, by coroutine.
local DEEP = 32
local depths = setmetatable({}, { __mode = "k" })
local main = {}

local function tostring(...)
  if select("#", ...) == 0 then error("bad argument #1 to 'tostring' (value expected)", 2) end
  local value = ...
  if type(value) ~= "table" then return (stock_tostring(value)) end
  local meta = getmetatable(value)
  if type(meta) ~= "table" then return (stock_tostring(value)) end
  local how = rawget(meta, "__tostring")
  if how == nil then return (stock_tostring(value)) end
  local key = running() or main
  local depth = (depths[key] or 0) + 1
  if depth > DEEP then error("__tostring is nested too deeply", 2) end
  depths[key] = depth
  local ok, result = pcall(how, value)
  depths[key] = depth - 1
  if not ok then error(result, 0) end
  return result
end

local stock_format = string.format
local function format(pattern, ...)
  pattern = str(pattern, 1, "format")
  local count = select("#", ...)
  local bytes, tables = #pattern + count * 128, false
  for index = 1, count do
    local value = select(index, ...)
    local kind = type(value)
    if kind == "string" then
      bytes = bytes + #value * 4
    elseif kind == "table" then
      tables = true
    end
  end
  -- `%q` may quadruple a string; only what comes near the limit is looked at twice.
  if tables then
    local values = { ... }
    for index = 1, count do
      local value = values[index]
      if type(value) == "table" then
        value = tostring(value)
        if type(value) ~= "string" then error("'tostring' must return a string", 2) end
        values[index] = value
        bytes = bytes + #value * 4
      end
    end
    if bytes > LIMIT * 4 then error("result too large", 2) end
    local result = stock_format(pattern, unpack(values, 1, count))
    if #result > LIMIT then error("result too large", 2) end
    return result
  end
  if bytes > LIMIT * 4 then error("result too large", 2) end
  local result = stock_format(pattern, ...)
  if #result > LIMIT then error("result too large", 2) end
  return result
end

local stock_concat = table.concat
local function concat(list, separator, first, last)
  if type(list) ~= "table" then bad(1, "concat", "table", list) end
  separator = separator == nil and "" or str(separator, 2, "concat")
  first, last = int(first, 1, 3, "concat"), int(last, #list, 4, "concat")
  local bytes = 0
  for index = first, last do
    local value = rawget(list, index)
    local kind = type(value)
    if kind == "string" then
      bytes = bytes + #value
    elseif kind == "number" then
      bytes = bytes + 24
    else
      error("invalid value (" .. kind .. ") at index " .. index .. " in table for 'concat'", 2)
    end
    if index > first then bytes = bytes + #separator end
    if bytes > LIMIT then error("result too large", 2) end
  end
  return stock_concat(list, separator, first, last)
end

-- LuaJIT's own moves every slot that `#` claims there is, and can't be stopped while it does.
local stock_insert = table.insert
local function insert(list, ...)
  if select("#", ...) ~= 2 then return stock_insert(list, ...) end
  if type(list) ~= "table" then bad(1, "insert", "table", list) end
  local at, value = ...
  at = int(at, nil, 2, "insert") or bad(2, "insert", "number", at)
  if at < 1 then error("bad argument #2 to 'insert' (position out of bounds)", 2) end
  for index = #list, at, -1 do rawset(list, index + 1, rawget(list, index)) end
  rawset(list, at, value)
end

local function less(a, b) return a < b end

local function insertion(list, low, high, before)
  for i = low + 1, high do
    local value, j = list[i], i - 1
    while j >= low and before(value, list[j]) do
      list[j + 1] = list[j]
      j = j - 1
    end
    list[j + 1] = value
  end
end

local function sift(list, low, root, count, before)
  local value = list[low + root]
  while true do
    local child = root * 2 + 1
    if child >= count then break end
    if child + 1 < count and before(list[low + child], list[low + child + 1]) then
      child = child + 1
    end
    if not before(value, list[low + child]) then break end
    list[low + root] = list[low + child]
    root = child
  end
  list[low + root] = value
end

local function heap(list, low, high, before)
  local count = high - low + 1
  for root = math.floor(count / 2) - 1, 0, -1 do sift(list, low, root, count, before) end
  for last = count - 1, 1, -1 do
    list[low], list[low + last] = list[low + last], list[low]
    sift(list, low, 0, last, before)
  end
end

-- Quicksort that turns to a heap when it goes badly. In Lua, so that it can be stopped.
local function quick(list, low, high, before, depth)
  while high - low > 12 do
    if depth == 0 then return heap(list, low, high, before) end
    depth = depth - 1
    local mid = math.floor((low + high) / 2)
    if before(list[mid], list[low]) then list[mid], list[low] = list[low], list[mid] end
    if before(list[high], list[mid]) then
      list[high], list[mid] = list[mid], list[high]
      if before(list[mid], list[low]) then list[mid], list[low] = list[low], list[mid] end
    end
    local pivot, i, j = list[mid], low, high
    while i <= j do
      while i < high and before(list[i], pivot) do i = i + 1 end
      while j > low and before(pivot, list[j]) do j = j - 1 end
      if i <= j then
        list[i], list[j] = list[j], list[i]
        i, j = i + 1, j - 1
      end
    end
    if j - low < high - i then
      quick(list, low, j, before, depth)
      low = i
    else
      quick(list, i, high, before, depth)
      high = j
    end
  end
  insertion(list, low, high, before)
end

local function sort(list, before)
  if type(list) ~= "table" then bad(1, "sort", "table", list) end
  if before ~= nil and type(before) ~= "function" then bad(2, "sort", "function", before) end
  quick(list, 1, #list, before or less, 64)
end

pl.string = {
  byte = string.byte, char = string.char, len = string.len, lower = string.lower,
  upper = string.upper, reverse = string.reverse, sub = string.sub,
  find = find, match = match, gmatch = gmatch, gfind = gmatch, gsub = gsub, rep = rep,
  format = format,
}
pl.table = {
  insert = insert, remove = table.remove, maxn = table.maxn, move = table.move,
  concat = concat, sort = sort, unpack = unpack, new = require "table.new",
  clear = require "table.clear",
}
pl.tostring = tostring

-- Methods of strings. `getmetatable("")` is nil to scripts, so nobody can reach this table.
local methods = {}
for name, value in pairs(pl.string) do methods[name] = value end
local meta = getmetatable("")
meta.__index = methods
meta.__metatable = false
