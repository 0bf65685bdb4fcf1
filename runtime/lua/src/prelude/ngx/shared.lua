-- ngx.shared: the manifest's dictionaries, with the methods, errors and checks of OpenResty.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local get_fast, incr_fast, put_fast, delete_fast =
  C.shared_get, C.shared_incr, C.shared_put, C.shared_delete
local type, error, select, tonumber = type, error, select, tonumber
local floor, huge = math.floor, math.huge
local TEXT, NUMBER, FALSE, TRUE, LIST = 1, 2, 3, 4, 5
local SET, ADD, REPLACE, SAFE = 0, 1, 2, 4
local LEFT, RIGHT = 0, 1
local KEY_MAX = 65535

-- Which dictionary a table stands for; scripts can't make one that stands for another.
local indexes = setmetatable({}, { __mode = "k" })

local function index_of(zone)
  local index = indexes[zone]
  if not index then error('bad "zone" argument', 3) end
  return index
end

-- A key as a string, or nil and why not.
local function key_of(key)
  if key == nil then return nil, "nil key" end
  if type(key) ~= "string" then key = pl.tostring(key) end
  if #key == 0 then return nil, "empty key" end
  if #key > KEY_MAX then return nil, "key too long" end
  return key
end

-- Whole milliseconds, as there; less than one is none.
local function seconds_of(ttl)
  local ms = ttl * 1000
  if ms < 1 then return 0 end
  return floor(ms) / 1000
end

local function failed() return nil, text(window.ptr, window.len) end

local function value_of(kind)
  if kind == TEXT then return (text(window.ptr, window.len)) end
  if kind == NUMBER then return window.num end
  return kind == TRUE
end

local Dict = {}
Dict.__index = Dict

function Dict.get(zone, key)
  local index = index_of(zone)
  local why
  key, why = key_of(key)
  if not key then return nil, why end
  local kind = get_fast(window, index, key, #key)
  if kind == 0 then return nil end
  if kind == LIST then return nil, "value is a list" end
  local flags = window.from
  if flags == 0 then return value_of(kind) end
  return value_of(kind), flags
end

function Dict.get_stale(zone, key)
  local index = index_of(zone)
  local why
  key, why = key_of(key)
  if not key then return nil, why end
  local kind = C.shared_stale(window, index, key, #key)
  if kind == 0 then return nil end
  if kind == LIST then return nil, "value is a list" end
  local flags, stale = window.from, window.to == 1
  if flags == 0 then flags = nil end
  return value_of(kind), flags, stale
end

local function putter(mode)
  return function(zone, key, value, ttl, flags)
    local index = index_of(zone)
    if not ttl then
      ttl = 0
    elseif ttl < 0 then
      error('bad "exptime" argument', 2)
    end
    local why
    key, why = key_of(key)
    if not key then return nil, why end
    local kind, bytes, number = type(value), "", 0
    if kind == "string" then
      kind, bytes = TEXT, value
    elseif kind == "number" then
      kind, number = NUMBER, value
    elseif kind == "boolean" then
      kind = value and TRUE or FALSE
    elseif kind ~= "nil" then
      return nil, "bad value type"
    elseif mode == SET or mode == SET + SAFE then
      delete_fast(window, index, key, #key)
      return true, nil, false
    else
      return false, "attempt to add or replace nil values", false
    end
    ttl = seconds_of(ttl)
    if put_fast(window, index, mode, key, #key, kind, bytes, #bytes, number, ttl, flags or 0) == 0 then
      return true, nil, window.from == 1
    end
    return false, text(window.ptr, window.len), window.from == 1
  end
end
Dict.set, Dict.safe_set = putter(SET), putter(SET + SAFE)
Dict.add, Dict.safe_add = putter(ADD), putter(ADD + SAFE)
Dict.replace = putter(REPLACE)

function Dict.delete(zone, key) return Dict.set(zone, key, nil) end

local function number_of(name, value)
  local number = tonumber(value)
  if not number then
    error("bad " .. name .. " arg: number expected, got " .. type(value), 3)
  end
  return number
end

function Dict.incr(zone, key, by, init, init_ttl)
  local index = index_of(zone)
  local why
  key, why = key_of(key)
  if not key then return nil, why end
  by = tonumber(by)
  if not by then error("cannot convert 'nil' to 'double'", 2) end
  if init then init = number_of("init", init) end
  if init_ttl ~= nil then
    init_ttl = number_of("init_ttl", init_ttl)
    if init_ttl < 0 then error('bad "init_ttl" argument', 2) end
    if not init then error('must provide "init" when providing "init_ttl"', 2) end
    init_ttl = seconds_of(init_ttl)
  end
  local has = init and 1 or 0
  if incr_fast(window, index, key, #key, by, has, init or 0, init_ttl or 0) < 0 then
    return failed()
  end
  if not init then return window.num end
  return window.num, nil, window.from == 1
end

function Dict.ttl(zone, key)
  local index = index_of(zone)
  local why
  key, why = key_of(key)
  if not key then return nil, why end
  if C.shared_ttl(window, index, key, #key) == 0 then return nil, "not found" end
  local left = window.num
  if left == huge then return 0 end
  return floor(left * 1000 + 0.5) / 1000
end

function Dict.expire(zone, key, ttl)
  local index = index_of(zone)
  if not ttl then error('bad "exptime" argument', 2) end
  local why
  key, why = key_of(key)
  if not key then return nil, why end
  if C.shared_expire(window, index, key, #key, seconds_of(ttl), 1) == TRUE then return true end
  return nil, "not found"
end

function Dict.capacity(zone) return (C.shared_capacity(window, index_of(zone))) end

-- Bytes of whole pages, as there.
function Dict.free_space(zone)
  local index = index_of(zone)
  local free = C.shared_capacity(window, index) - C.shared_used(window, index)
  return free - free % 4096
end

function Dict.flush_all(zone) slow.shared_expire_all(index_of(zone)) end

-- The other methods are C functions there: they count their arguments.
local function count(most, ...)
  local seen = select("#", ...)
  if seen ~= 1 and seen ~= 2 or seen > most then
    error("expecting 1 or 2 argument(s), but saw " .. seen, 3)
  end
  local zone, max = ...
  local index = indexes[zone]
  if not index then error('bad "zone" argument', 3) end
  return index, max
end

local function whole(max, name)
  local number = tonumber(max)
  if not number then
    error("bad argument #1 to '" .. name .. "' (number expected, got " .. type(max) .. ")", 3)
  end
  return (floor(number))
end

function Dict.flush_expired(...)
  local index, max = count(2, ...)
  return slow.shared_flush_expired(index, max == nil and 0 or whole(max, "flush_expired"))
end

function Dict.get_keys(...)
  local index, max = count(2, ...)
  return slow.shared_keys(index, max == nil and 1024 or whole(max, "get_keys"))
end

local function list_key(wanted, name, seen, zone, key)
  if seen ~= wanted then
    error("expecting " .. wanted .. " arguments, but only seen " .. seen, 3)
  end
  local index = indexes[zone]
  if not index then error('bad "zone" argument', 3) end
  local kind = type(key)
  if kind ~= "string" and kind ~= "number" and kind ~= "nil" then
    error("bad argument #1 to '" .. name .. "' (string expected, got " .. kind .. ")", 3)
  end
  local why
  key, why = key_of(key)
  return index, key, why
end

local function pusher(name, at)
  return function(...)
    local zone, key, value = ...
    local index, why
    index, key, why = list_key(3, name, select("#", ...), zone, key)
    if not key then return nil, why end
    local kind, bytes, number = type(value), "", 0
    if kind == "string" then
      kind, bytes = TEXT, value
    elseif kind == "number" then
      kind, number = NUMBER, value
    else
      return nil, "bad value type"
    end
    if C.shared_push(window, index, key, #key, at, kind, bytes, #bytes, number) < 0 then
      return failed()
    end
    return window.num
  end
end
Dict.lpush, Dict.rpush = pusher("lpush", LEFT), pusher("rpush", RIGHT)

local function popper(name, at)
  return function(...)
    local zone, key = ...
    local index, why
    index, key, why = list_key(2, name, select("#", ...), zone, key)
    if not key then return nil, why end
    local kind = C.shared_pop(window, index, key, #key, at)
    if kind < 0 then return failed() end
    if kind == 0 then return nil end
    return value_of(kind)
  end
end
Dict.lpop, Dict.rpop = popper("lpop", LEFT), popper("rpop", RIGHT)

function Dict.llen(...)
  local zone, key = ...
  local index, why
  index, key, why = list_key(2, "llen", select("#", ...), zone, key)
  if not key then return nil, why end
  if C.shared_len(window, index, key, #key) < 0 then return failed() end
  return window.num
end

return function(ngx, world)
  local function zone_at(index)
    local zone = setmetatable({}, Dict)
    indexes[zone] = index
    return zone
  end
  ngx.shared = {}
  for place, name in ipairs(slow.shared_names()) do ngx.shared[name] = zone_at(place - 1) end
  -- Tests of filters have all dictionaries that are asked for.
  setmetatable(ngx.shared, {
    __index = function(shared, name)
      local index = type(name) == "string" and slow.shared_find(name)
      if not index then return nil end
      shared[name] = zone_at(index)
      return shared[name]
    end,
  })
  world.preload["resty.core.shdict"] = function() return { version = "0.1.33" } end
end
