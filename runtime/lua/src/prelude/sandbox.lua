-- The environment of each filter, name by name, and how a script becomes a filter in it.
local pl = ...
local slow = pl.slow
local type, error, pcall, setmetatable, rawget = type, error, pcall, setmetatable, rawget
local stock_getmetatable, next, setfenv = getmetatable, next, setfenv
local stock_tostring, stock_pairs = tostring, pairs
local count = collectgarbage
local traceback, getinfo = debug.traceback, debug.getinfo
local date, time, difftime = os.date, os.time, os.difftime

local function copy(from)
  local to = {}
  for key, value in stock_pairs(from) do to[key] = value end
  return to
end

-- LuaJIT's pairs doesn't know __pairs: handles need it.
local function pairs(t)
  local meta = stock_getmetatable(t)
  if meta == nil then
    if type(t) ~= "table" then
      error("bad argument #1 to 'pairs' (table expected, got " .. type(t) .. ")", 2)
    end
    return next, t, nil
  end
  if type(meta) == "string" then
    local how = pl.pairs_of[meta]
    if how then return how(t) end
  elseif type(meta) == "table" then
    local how = rawget(meta, "__pairs")
    if how ~= nil then return how(t) end
  end
  if type(t) ~= "table" then
    error("bad argument #1 to 'pairs' (table expected, got " .. type(t) .. ")", 2)
  end
  return next, t, nil
end

pl.pairs = pairs

local function getmetatable(value)
  if type(value) == "string" then return nil end
  return stock_getmetatable(value)
end

-- Counting is harmless; a collection takes time that nothing can interrupt.
local function collectgarbage(what)
  if what == "count" then return count("count") end
  if what == nil or what == "collect" or what == "step" then
    count("step", 64)
    return 0
  end
  error("collectgarbage('" .. stock_tostring(what) .. "') is not available to scripts", 2)
end

local function os_time(t)
  if t == nil then return (math.floor(pl.now())) end
  return time(t)
end

local function os_date(format, at)
  if format == nil then format = "%c" end
  if type(format) ~= "string" or #format > 256 then
    error("bad argument #1 to 'date' (a short string expected)", 2)
  end
  return date(format, at or math.floor(pl.now()))
end

local function print(...)
  local parts = {}
  for index = 1, select("#", ...) do parts[index] = pl.tostring((select(index, ...))) end
  pl.log.info(pl.table.concat(parts, "\t"))
end

-- Text becomes a function of this environment; readers are called here, not from C.
local function loader(env)
  local function load(chunk, name, mode, given)
    if type(chunk) == "function" then
      local parts = {}
      while true do
        local part = chunk()
        if part == nil or part == "" then break end
        if type(part) ~= "string" then return nil, "reader function must return a string" end
        parts[#parts + 1] = part
      end
      chunk = pl.table.concat(parts)
    end
    if type(chunk) ~= "string" then
      error("bad argument #1 to 'load' (string expected, got " .. type(chunk) .. ")", 2)
    end
    if mode ~= nil and mode ~= "t" and mode ~= "bt" then
      return nil, "attempt to load a binary chunk (only text is allowed)"
    end
    if given ~= nil and type(given) ~= "table" then error("an environment is a table", 2) end
    return slow.compile(chunk, type(name) == "string" and name or chunk, given or env)
  end
  return load, function(chunk, name) return load(chunk, name) end
end

local function searcher(env)
  local loaded, preload = env.package.loaded, env.package.preload
  local loading = {}
  return function(name)
    if type(name) ~= "string" then
      error("bad argument #1 to 'require' (string expected, got " .. type(name) .. ")", 2)
    end
    local known = loaded[name]
    if known ~= nil then return known end
    if loading[name] then error("module '" .. name .. "' requires itself", 2) end
    local chunk, path = preload[name], nil
    if chunk == nil then
      local source
      source, path = slow.find_module(name)
      if not source then error("module '" .. name .. "' not found:" .. path, 2) end
      local why
      chunk, why = slow.compile(source, "@" .. path, env)
      if not chunk then
        error("error loading module '" .. name .. "' from file '" .. path .. "':\n\t" .. why, 2)
      end
    end
    loading[name] = true
    local ok, module = pcall(chunk, name, path)
    loading[name] = nil
    if not ok then error(module, 0) end
    if module ~= nil then loaded[name] = module end
    if loaded[name] == nil then loaded[name] = true end
    return loaded[name]
  end
end

-- What each script has of its own, and may change.
local libraries = {
  string = function() return copy(pl.string) end,
  table = function() return copy(pl.table) end,
  coroutine = function() return copy(pl.coroutine) end,
  math = function() return copy(math) end,
  bit = function() return copy(bit) end,
  os = function()
    return {
      time = os_time, date = os_date, difftime = difftime, clock = pl.monotonic, getenv = slow.env,
    }
  end,
  debug = function() return { traceback = traceback } end,
  jit = function()
    return { version = jit.version, version_num = jit.version_num, os = jit.os, arch = jit.arch }
  end,
}

-- What is the same for all.
local plain = {
  _VERSION = _VERSION,
  assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs, pcall = pcall,
  rawequal = rawequal, rawget = rawget, rawset = rawset, rawlen = rawlen, select = select,
  setmetatable = setmetatable, getmetatable = getmetatable, tonumber = tonumber,
  tostring = pl.tostring, type = type, unpack = unpack, xpcall = xpcall, print = print,
  collectgarbage = collectgarbage,
}

-- `named`: what the script can reach; nil: all, by whatever name. Most scripts name a few, and an
-- environment is most of what one of many scripts takes.
function pl.environment(config, name, named)
  local env = {}
  if named and not pl.ffi and not pl.io then
    for each in named:gmatch("%S+") do
      local make = libraries[each]
      if each == "gateway" then
        env.gateway = pl.gateway(config, name)
      else
        env[each] = make and make() or plain[each]
      end
    end
    return env
  end
  for each, value in stock_pairs(plain) do env[each] = value end
  for library, make in stock_pairs(libraries) do env[library] = make() end
  env.gateway = pl.gateway(config, name)
  env._G = env
  env.load, env.loadstring = loader(env)
  local loaded = {
    _G = env, string = env.string, table = env.table, coroutine = env.coroutine, math = env.math,
    bit = env.bit, os = env.os, debug = env.debug, jit = env.jit,
    ["table.new"] = env.table.new, ["table.clear"] = env.table.clear,
    gateway = env.gateway,
  }
  if pl.ffi then
    env.ffi = pl.ffi
    loaded.ffi = pl.ffi
  end
  if pl.io then
    env.io = copy(pl.io)
    loaded.io = env.io
    function env.loadfile(path, mode, given)
      local file, why = pl.io.open(path, "rb")
      if not file then return nil, "cannot open " .. why end
      local text = file:read("*a")
      file:close()
      return env.load((text:gsub("^#[^\n]*", "")), "@" .. path, mode, given)
    end
    function env.dofile(path)
      local chunk, why = env.loadfile(path)
      if not chunk then error(why, 0) end
      return chunk()
    end
  end
  env.package = { loaded = loaded, preload = {}, path = "", cpath = "" }
  env.require = searcher(env)
  return env
end

local phases = {
  "connect", "request", "request_body", "request_trailers", "upstream", "response",
  "response_body", "response_trailers", "log",
}

-- How many parameters come before the context.
local before = { request_body = 2, response_body = 2 }

-- Runs a script's chunk and its init; answers its phases, and which of them want a context.
local function native(chunk, name, config, is_json, target, named)
  if is_json then
    local decoded, why = slow.json_decode(config)
    if decoded == nil and why then error("config: " .. why, 0) end
    config = decoded
  elseif config == "" then
    config = nil
  end
  local env = pl.environment(config, name, named)
  setfenv(chunk, env)
  local filter = chunk()
  if type(filter) == "function" and target then filter = { request = filter } end
  if type(filter) ~= "table" then
    local what = target and "a function or a table of phases" or "a table of phases"
    error("the script must return " .. what .. ", not a " .. type(filter), 0)
  end
  local entries, wants, any = {}, {}, false
  for index = 1, #phases do
    local phase = phases[index]
    local fn = rawget(filter, phase)
    if fn ~= nil then
      if type(fn) ~= "function" then error(phase .. " must be a function", 0) end
      any = true
      entries[phase] = fn
      local info = getinfo(fn, "u")
      wants[phase] = info.isvararg or info.nparams > (before[phase] or 1)
    end
  end
  local init = rawget(filter, "init")
  if init ~= nil and type(init) ~= "function" then error("init must be a function", 0) end
  if target and not entries.request then error("a target's script needs a request function", 0) end
  if not any and not init then error("the script has no phases", 0) end
  if init then init(config) end
  return entries, wants
end

-- The same for any kind of filter; the dialects' parts are there when the first of them comes, or when
-- the host names a kind and nothing else.
function pl.boot(kind, ...)
  if kind == "native" then return native(...) end
  local boot = pl.part(kind .. "/boot")
  if ... then return boot(...) end
end
