-- kong.worker_events, kong.cluster_events and kong.timer.
local type, error, pairs, ipairs, pcall, tostring, select, unpack, setmetatable =
  type, error, pairs, ipairs, pcall, tostring, select, unpack, setmetatable

local events = {}

-- Events reach those who listen on the worker that posts them.
local listeners = {}

local function key_of(source, event) return (source or "*") .. "\0" .. (event or "*") end

local worker = {}

function worker.register(handler, source, ...)
  local names = { ... }
  if #names == 0 then names = { "*" } end
  for _, event in ipairs(names) do
    local key = key_of(source, event)
    listeners[key] = listeners[key] or {}
    table.insert(listeners[key], handler)
  end
  return true
end
worker.register_weak = worker.register
worker.subscribe = function(source, event, handler) return worker.register(handler, source, event) end

function worker.unregister(handler, source, ...)
  local names = { ... }
  if #names == 0 then names = { "*" } end
  for _, event in ipairs(names) do
    local list = listeners[key_of(source, event)] or {}
    for index = #list, 1, -1 do
      if list[index] == handler then table.remove(list, index) end
    end
  end
  return true
end

local function tell(list, ...)
  for _, handler in ipairs(list or {}) do
    local ok, why = pcall(handler, ...)
    if not ok then ngx.log(ngx.ERR, "worker event handler failed: ", tostring(why)) end
  end
end

local function post(source, event, data)
  if type(source) ~= "string" or source == "" then return nil, "source is required" end
  if type(event) ~= "string" or event == "" then return nil, "event is required" end
  for _, key in ipairs { key_of(source, event), key_of(source), key_of() } do
    tell(listeners[key], data, event, source, ngx.worker.pid())
  end
  return true
end
worker.post, worker.post_local, worker.publish = post, post, post
function worker.poll() return "done" end
function worker.configured() return true end
events.worker = worker

-- There is no cluster: what is broadcast is for this node alone.
local channels = {}
local cluster = {}

function cluster:subscribe(channel, callback)
  if type(channel) ~= "string" then return error("channel must be a string", 2) end
  if type(callback) ~= "function" then return error("callback must be a function", 2) end
  channels[channel] = channels[channel] or {}
  table.insert(channels[channel], callback)
  return true
end

function cluster:broadcast(channel, data)
  if type(channel) ~= "string" then return nil, "channel must be a string" end
  if type(data) ~= "string" then return nil, "data must be a string" end
  tell(channels[channel], data)
  return true
end
events.cluster = cluster

-- Timers by names, so that they can be stopped.
local named, count = {}, 0
local timer = {}

local function guard(entry, callback)
  return function(premature, ...)
    if entry.cancelled or entry.paused then return end
    if not entry.every then named[entry.name] = nil end
    entry.runs = entry.runs + 1
    return callback(premature, ...)
  end
end

local function starter(every, has_name)
  return function(self, name, ...)
    local arguments, n = { ... }, select("#", ...)
    if not has_name then
      count = count + 1
      arguments, n = { name, ... }, n + 1
      name = "unnamed " .. count
    end
    local delay, callback = arguments[1], arguments[2]
    if type(callback) ~= "function" then error("expected a function", 2) end
    if named[name] then return nil, "already exists timer" end
    local entry = { name = name, every = every, runs = 0 }
    local start = every and ngx.timer.every or ngx.timer.at
    local ok, why = start(delay, guard(entry, callback), unpack(arguments, 3, n))
    if not ok then return nil, why end
    named[name] = entry
    return name
  end
end

timer.at, timer.every = starter(false, false), starter(true, false)
timer.named_at, timer.named_every = starter(false, true), starter(true, true)

function timer:cancel(name)
  local entry = named[name]
  if not entry then return nil, "timer not found" end
  entry.cancelled = true
  named[name] = nil
  return true
end

local function pauser(paused)
  return function(_, name)
    local entry = named[name]
    if not entry then return nil, "timer not found" end
    entry.paused = paused
    return true
  end
end
timer.pause, timer.run = pauser(true), pauser(false)

function timer:is_managed(name) return named[name] ~= nil end

function timer:stats()
  local timers, total = {}, 0
  for name, entry in pairs(named) do
    timers[name] = { name = name, runs = entry.runs }
    total = total + 1
  end
  return { sys = { total = total, runs = total, waiting = 0 }, timers = timers }
end

function timer:set_debug() return true end
function timer:start() return true end
events.timer = setmetatable({}, { __index = timer })

return events
