-- gateway.*: what scripts may ask of the world. `pl.gateway(config)` makes one filter's table.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local WAIT, yield = pl.WAIT, pl.yield
local type, error, setmetatable, stock_tostring = type, error, setmetatable, tostring
local select = select
local NONE, TEXT, NUMBER, FALSE, TRUE = 0, 1, 2, 3, 4

-- Values of arrays, so that an empty one stays one.
pl.array = { __metatable = "array" }

local function log_at(level)
  return function(message, fields)
    if type(message) ~= "string" then message = pl.tostring(message) end
    if fields ~= nil and type(fields) ~= "table" then
      error("log fields must be a table, not a " .. type(fields), 2)
    end
    local ok, why = slow.log(level, message, fields)
    if not ok then error("log fields: " .. why, 2) end
  end
end
local log = { error = log_at(1), warn = log_at(2), info = log_at(3), debug = log_at(4) }

local json = {
  null = pl.null,
  encode = function(value)
    local encoded, why = slow.json_encode(value)
    if not encoded then error("json.encode: " .. why, 2) end
    return encoded
  end,
  decode = function(encoded)
    if type(encoded) ~= "string" then
      error("json.decode takes a string, not a " .. type(encoded), 2)
    end
    return slow.json_decode(encoded)
  end,
  array = function(list) return (setmetatable(list or {}, pl.array)) end,
}

-- Shared dictionaries: { index }.
local Shared = {}
Shared.__index = Shared
Shared.__metatable = "shared"
Shared.__newindex = function() error("a shared dictionary's values are set by :set()", 2) end

local function key_of(key)
  if type(key) == "string" then return key end
  if type(key) == "number" then return (stock_tostring(key)) end
  error("a key must be a string, not a " .. type(key), 3)
end

local function ttl_of(ttl)
  if ttl == nil then return 0 end
  if type(ttl) ~= "number" or ttl ~= ttl or ttl < 0 then
    error("ttl must be a number of seconds", 3)
  end
  return ttl
end

local function failed() return nil, text(window.ptr, window.len) end

function Shared.get(d, key)
  key = key_of(key)
  local kind = C.shared_get(window, d[1], key, #key)
  if kind == TEXT then return (text(window.ptr, window.len)) end
  if kind == NUMBER then return window.num end
  if kind == TRUE then return true end
  if kind == FALSE then return false end
  return nil
end

local function putter(mode)
  return function(d, key, value, ttl)
    key, ttl = key_of(key), ttl_of(ttl)
    local kind, bytes, number = type(value), "", 0
    if kind == "string" then
      kind, bytes = TEXT, value
    elseif kind == "number" then
      kind, number = NUMBER, value
    elseif kind == "boolean" then
      kind = value and TRUE or FALSE
    elseif kind == "nil" and mode == 0 then
      C.shared_delete(window, d[1], key, #key)
      return true
    else
      error("a shared value must be a string, number or boolean, not a " .. kind, 2)
    end
    local code = C.shared_put(window, d[1], mode, key, #key, kind, bytes, #bytes, number, ttl, 0)
    if code ~= 0 then return failed() end
    return true
  end
end
Shared.set, Shared.add, Shared.replace = putter(0), putter(1), putter(2)

function Shared.incr(d, key, by, init, ttl)
  key, ttl = key_of(key), ttl_of(ttl)
  if by == nil then by = 1 end
  if type(by) ~= "number" then error("by must be a number", 2) end
  if init ~= nil and type(init) ~= "number" then error("init must be a number", 2) end
  local has = init and 1 or 0
  local code = C.shared_incr(window, d[1], key, #key, by, has, init or 0, ttl)
  if code < 0 then return failed() end
  return window.num
end

function Shared.delete(d, key)
  key = key_of(key)
  C.shared_delete(window, d[1], key, #key)
end

function Shared.expire(d, key, ttl)
  key, ttl = key_of(key), ttl_of(ttl)
  if C.shared_expire(window, d[1], key, #key, ttl, 0) == TRUE then return true end
  return nil, "not found"
end

function Shared.ttl(d, key)
  key = key_of(key)
  if C.shared_ttl(window, d[1], key, #key) ~= NUMBER then return nil, "not found" end
  local left = window.num
  if left == math.huge then return 0 end
  if left <= 0 then return nil, "not found" end
  return left
end

function Shared.keys(d, max)
  if max ~= nil and type(max) ~= "number" then error("max must be a number", 2) end
  return slow.shared_keys(d[1], max or 1024)
end

function Shared.flush(d) slow.shared_flush(d[1]) end

-- One filter's `gateway.shared`: it may spoil its own tables (rawset), not another's.
local function sharer()
  local dictionaries = {}
  return function(name)
    local known = dictionaries[name]
    if known then return known end
    if type(name) ~= "string" then error("a dictionary's name must be a string", 2) end
    local index, why = slow.shared_find(name)
    if not index then error(why, 2) end
    known = setmetatable({ index }, Shared)
    dictionaries[name] = known
    return known
  end
end

-- Modules: a table whose fields become functions when first asked for.
local function called(ok, ...)
  if ok == false then return yield(WAIT, pl.TAKE) end
  if ok then return ... end
  return nil, ...
end

-- Bytes of a string that need no second look.
local LONG = 2 ^ 20

local Module = {}
Module.__metatable = "module"
Module.__newindex = function() error("a module can't be changed", 2) end
local functions = setmetatable({}, { __mode = "k" })
local names = setmetatable({}, { __mode = "k" })

function Module.__index(module, name)
  local own = functions[module]
  local fn = own and own[name]
  if fn then return fn end
  if type(name) ~= "string" then return nil end
  local index, place
  fn = function(...)
    if not index then
      index, place = slow.module_find(names[module], name)
      if not index then
        local why = place
        index, place = nil, nil
        error(why, 2)
      end
    end
    -- A string or a number and two more numbers: no tables, no Lua stack, and a trace goes on.
    local n, first, a, b = select("#", ...), ...
    local kind = type(first)
    if n > 0 and n < 4 and (kind == "number" or kind == "string" and #first <= LONG)
      and (n < 2 or type(a) == "number") and (n < 3 or type(b) == "number")
    then
      local code
      if kind == "number" then
        code = C.module_plain(window, index, place, nil, -1, n, first, a or 0, b or 0)
      else
        code = C.module_plain(window, index, place, first, #first, n - 1, a or 0, b or 0, 0)
      end
      if code == NUMBER then return window.num end
      if code == TEXT then return (text(window.ptr, window.len)) end
      if code == NONE then return nil end
      if code == TRUE or code == FALSE then return code == TRUE end
      return called(slow.module_take())
    end
    return called(slow.module_call(index, place, ...))
  end
  own[name] = fn
  return fn
end

function pl.module_name(module) return names[module] end

-- One filter's `gateway.wasm`.
local function opener()
  local modules = {}
  return function(name)
    local known = modules[name]
    if known then return known end
    if type(name) ~= "string" or not slow.module_known(name) then
      error("the manifest has no [modules." .. stock_tostring(name) .. "]", 2)
    end
    known = {}
    functions[known], names[known] = {}, name
    modules[name] = setmetatable(known, Module)
    return known
  end
end

local function sleep(seconds)
  if type(seconds) ~= "number" then
    error("gateway.sleep takes seconds, not a " .. type(seconds), 2)
  end
  yield(WAIT, pl.SLEEP, seconds)
end

-- Tasks beside exchanges: { number }.
local Task = {
  __index = { cancel = function(task) return slow.task_cancel(task[1]) end },
  __metatable = "task",
}

local function start(name, delay, period, fn, ...)
  if type(fn) ~= "function" then
    error(name .. " takes a function, not a " .. type(fn), 3)
  end
  local id, why = slow.task_start(delay, period, false, fn, ...)
  if not id then return nil, why end
  return (setmetatable({ id }, Task))
end

local function seconds_of(name, seconds, least)
  if type(seconds) ~= "number" or not (seconds >= least) then
    error(name .. " takes a number of seconds, at least " .. least, 3)
  end
  return seconds
end

local function spawn(fn, ...) return start("gateway.spawn", 0, false, fn, ...) end
local function after(seconds, fn, ...)
  return start("gateway.after", seconds_of("gateway.after", seconds, 0), false, fn, ...)
end
local function every(seconds, fn, ...)
  seconds = seconds_of("gateway.every", seconds, 0.001)
  return start("gateway.every", seconds, seconds, fn, ...)
end

local function export(name, fn, options)
  if type(name) ~= "string" then
    error("gateway.export takes a name, not a " .. type(name), 2)
  end
  if type(fn) ~= "function" then
    error("gateway.export takes a function, not a " .. type(fn), 2)
  end
  local later = type(options) == "table" and options.later == true
  local ok, why = slow.export(name, later, fn)
  if not ok then error(why, 2) end
end

-- A response of a fetch: its headers can be read in any case.
local FetchedHeaders = {
  __index = function(h, name)
    if type(name) ~= "string" then return nil end
    local lower = name:lower()
    if lower ~= name then return h[lower] end
    return nil
  end,
  __metatable = "headers of a fetch",
}
local Fetched = {
  __index = {
    json = function(response) return slow.json_decode(response.body) end,
  },
  __metatable = "fetched",
}

local function fetched(response, why)
  if not response then return nil, why end
  setmetatable(response.headers, FetchedHeaders)
  return (setmetatable(response, Fetched))
end

local function fetch(what, options)
  if type(what) == "string" and type(options) == "table" then
    local copy = {}
    for key, value in pairs(options) do copy[key] = value end
    copy.url, what = what, copy
  end
  if type(what) ~= "string" and type(what) ~= "table" then
    error("gateway.fetch takes a URL or a table, not a " .. type(what), 2)
  end
  return fetched(yield(WAIT, pl.FETCH, what))
end

local function coder(fn, name, fails)
  return function(value)
    if type(value) == "number" then value = stock_tostring(value) end
    if type(value) ~= "string" then error(name .. " takes a string, not a " .. type(value), 2) end
    if fn(window, value, #value) == 0 then return nil, fails end
    return (text(window.ptr, window.len))
  end
end
local base64 = {
  encode = coder(C.base64_encode, "base64.encode"),
  decode = coder(C.base64_decode, "base64.decode", "not base64"),
}
local hex = {
  encode = coder(C.hex_encode, "hex.encode"),
  decode = coder(C.hex_decode, "hex.decode", "not hexadecimal"),
}
local url = {
  encode = coder(C.url_encode, "url.encode"),
  decode = coder(C.url_decode, "url.decode"),
}

local time_of = C.now
local function now() return (time_of(window)) end
local function monotonic() return (C.monotonic(window)) end
pl.now, pl.monotonic, pl.log = now, monotonic, log

local function copy(from)
  local to = {}
  for key, value in pairs(from) do to[key] = value end
  return to
end

-- What is made of a part of the prelude (`gateway/NAME.lua`) when a script first asks for it: a copy
-- of the table that it is, or what it returns as a function.
local lazy = {}
for _, part in ipairs { "crypto", "jwt", "metric", "re", "redis", "time", "uuid" } do
  lazy[part] = true
end

local Gateway = {
  __index = function(gateway, name)
    if not lazy[name] then return nil end
    local part = pl.part("gateway/" .. name)
    local made = type(part) == "table" and copy(part) or part()
    gateway[name] = made
    return made
  end,
  __metatable = "gateway",
}

-- Each filter gets tables of its own, so that what it changes nobody else sees.
function pl.gateway(config, name)
  return (setmetatable({
    log = copy(log), json = copy(json), base64 = copy(base64), hex = copy(hex), url = copy(url),
    shared = sharer(), wasm = opener(), fetch = fetch, all = pl.all, sleep = sleep,
    spawn = spawn, after = after, every = every, export = export,
    now = now, monotonic = monotonic, env = slow.env, config = config, name = name,
  }, Gateway))
end
