-- Coroutines of scripts: the mark of a wait passes through them to the host.
local pl = ...
local WAIT, yield = pl.WAIT, pl.yield
local DEPTH = pl.depth_max
local create, resume, running, status =
  coroutine.create, coroutine.resume, coroutine.running, coroutine.status
local type, error, pcall, select, setmetatable = type, error, pcall, select, setmetatable

-- How deep each coroutine of scripts is; the host's own are not in it.
local level = setmetatable({}, { __mode = "k" })

-- Coroutines that wait for the host in one of theirs.
local within = setmetatable({}, { __mode = "k" })
pl.within = within

local function pass(co, ...)
  local ok, mark = ...
  if ok and mark == WAIT then
    within[running()] = true
    return pass(co, resume(co, yield(select(2, ...))))
  end
  within[running()] = nil
  return ...
end

local function make(fn, name)
  if type(fn) ~= "function" then
    error("bad argument #1 to '" .. name .. "' (function expected, got " .. type(fn) .. ")", 3)
  end
  local co = create(fn)
  level[co] = 0
  return co
end

-- Each coroutine inside another takes native stack.
local function enter(co)
  local depth = (level[running()] or 0) + 1
  if depth > DEPTH then return false end
  level[co] = depth
  return true
end

local function resume_safely(co, ...)
  if type(co) ~= "thread" or not level[co] then
    error("bad argument #1 to 'resume' (coroutine expected)", 2)
  end
  if not enter(co) then return false, "coroutines are nested too deeply" end
  return pass(co, resume(co, ...))
end

-- Where it stood, traces show behind the caller's.
local wrecked = pl.slow.wrecked
local function unwrap(co, ok, ...)
  if not ok then
    local why = ...
    if type(why) == "string" then wrecked(why, co) end
    error(why, 0)
  end
  return ...
end

local function wrap(fn)
  local co = make(fn, "wrap")
  return function(...)
    if not enter(co) then error("coroutines are nested too deeply", 2) end
    return unwrap(co, pass(co, resume(co, ...)))
  end
end

local function current()
  local co = running()
  return co and level[co] and co or nil
end

pl.coroutine = {
  create = function(fn) return make(fn, "create") end,
  resume = resume_safely,
  wrap = wrap,
  running = current,
  isyieldable = function() return current() ~= nil end,
  status = function(co)
    if type(co) ~= "thread" or not level[co] then
      error("bad argument #1 to 'status' (coroutine expected)", 2)
    end
    return status(co)
  end,
  yield = function(...)
    if not current() then error("attempt to yield from outside a coroutine", 2) end
    return yield(...)
  end,
}

-- Runs functions side by side, each on a thread of the host's; their first results in order.
local function all(functions)
  if type(functions) ~= "table" then error("gateway.all takes a list of functions", 2) end
  local results, failed, ids = {}, nil, {}
  local function run(index)
    local ok, result = pcall(functions[index])
    if ok then results[index] = result else failed = failed or { result } end
  end
  for index = 1, #functions do
    local fn = functions[index]
    if type(fn) ~= "function" then
      error("bad argument #1 to 'all' (function expected, got " .. type(fn) .. ")", 2)
    end
    local id, why = yield(WAIT, pl.START, run, index)
    if not id then
      failed = failed or { why }
      break
    end
    ids[index] = id
  end
  for index = 1, #ids do yield(WAIT, pl.ANY, ids[index]) end
  if failed then error(failed[1], 0) end
  return results
end
pl.all = all
