-- gateway.metric: figures of scripts, on /metrics beside the gateway's own. One series is known to all
-- filters and workers by its name and labels.
local pl = ...
local C, window, slow = pl.C, pl.window, pl.slow
local type, error, setmetatable, next, tostring = type, error, setmetatable, next, tostring
local concat, sort = table.concat, table.sort

-- As KINDS in calls/metric.rs, and what each kind can.
local COUNTER, GAUGE, HISTOGRAM = 0, 1, 2

local function number(value, name)
  if type(value) ~= "number" or value ~= value then
    error(name .. " takes a number", 3)
  end
  return value
end

local function class(methods)
  return { __index = methods, __metatable = "metric" }
end

local classes = {
  [COUNTER] = class {
    add = function(series, by)
      by = number(by or 1, "add")
      if by < 0 then error("a counter only grows", 2) end
      C.metric_add(window, series[1], by)
    end,
  },
  [GAUGE] = class {
    add = function(series, by) C.metric_add(window, series[1], number(by or 1, "add")) end,
    set = function(series, to) C.metric_set(window, series[1], number(to, "set")) end,
  },
  [HISTOGRAM] = class {
    observe = function(series, value)
      C.metric_observe(window, series[1], number(value, "observe"))
    end,
  },
}

-- What is known of the series by kind, name and labels: its number, or why it can't be.
local known = {}

local function key_of(kind, name, labels)
  if labels == nil or next(labels) == nil then return kind .. name end
  local parts = {}
  for label, value in next, labels do
    if type(label) ~= "string" then error("labels are named by strings", 3) end
    if type(value) ~= "string" and type(value) ~= "number" and type(value) ~= "boolean" then
      error("a label's value must be a string, not a " .. type(value), 3)
    end
    parts[#parts + 1] = label .. "\0" .. tostring(value)
  end
  sort(parts)
  return kind .. name .. "\1" .. concat(parts, "\1")
end

local function opener(kind)
  return function(name, labels, bounds)
    if type(name) ~= "string" then
      error("a metric's name must be a string, not a " .. type(name), 2)
    end
    if labels ~= nil and type(labels) ~= "table" then error("labels must be a table", 2) end
    local key = key_of(kind, name, labels)
    local index = known[key]
    if not index then
      local why
      index, why = slow.metric_open(kind, name, labels, bounds)
      if not index then error("metric \"" .. name .. "\": " .. why, 2) end
      known[key] = index
    end
    return (setmetatable({ index }, classes[kind]))
  end
end

return {
  counter = opener(COUNTER), gauge = opener(GAUGE), histogram = opener(HISTOGRAM),
}
