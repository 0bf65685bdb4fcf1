-- resty.counter: counters that each worker keeps, added to a shared dictionary every so often.
local pairs, setmetatable = pairs, setmetatable

local Counter = {}
Counter.__index = Counter

local known = {}

local function sync(premature, counter)
  counter:sync()
  return premature
end

function Counter.new(name, interval)
  local dict = ngx.shared[name]
  if not dict then return nil, "shared dict \"" .. name .. "\" not defined" end
  local counter = setmetatable({ dict = dict, increments = {}, error_metric_name = nil }, Counter)
  known[name] = known[name] or {}
  known[name][#known[name] + 1] = counter
  if interval then
    local ok, why = ngx.timer.every(interval, sync, counter)
    if not ok then return nil, why end
    counter.interval = interval
  end
  return counter
end

function Counter:incr(key, step)
  self.increments[key] = (self.increments[key] or 0) + (step or 1)
  return true
end

function Counter:reset(key, number)
  self.increments[key] = nil
  return self.dict:set(key, number or 0)
end

function Counter:get(key) return self.dict:get(key) end
function Counter:get_keys(most) return self.dict:get_keys(most) end

function Counter:sync()
  local taken = self.increments
  self.increments = {}
  for key, step in pairs(taken) do
    local _, why = self.dict:incr(key, step, 0)
    if why and self.error_metric_name then self.dict:incr(self.error_metric_name, 1, 0) end
  end
  return true
end

return Counter
