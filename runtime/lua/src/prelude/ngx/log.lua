-- ngx.log, print, ngx.errlog.
local pl = ...
local C, window, slow = pl.C, pl.window, pl.slow
local getinfo, stock_tostring, os = debug.getinfo, tostring, os
local concat, select, type, error = table.concat, select, type, error

local SEVERITIES = {
  [0] = "stderr", "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
}
-- As the gateway has them: error, warn, info, debug.
local LEVELS = { [0] = 1, 1, 1, 1, 1, 2, 3, 3, 4 }

local function text_of(first, ...)
  local parts = {}
  for index = first, select("#", ...) do
    local value = select(index, ...)
    local kind = type(value)
    if kind == "string" then
      parts[#parts + 1] = value
    elseif kind == "table" then
      local meta = getmetatable(value)
      if not (type(meta) == "table" and meta.__tostring) then
        error("bad argument #" .. index .. " to 'log' (expected table to have __tostring metamethod)", 3)
      end
      parts[#parts + 1] = pl.tostring(value)
    elseif kind == "userdata" and value == pl.null then
      parts[#parts + 1] = "null"
    else
      parts[#parts + 1] = stock_tostring(value)
    end
  end
  return (concat(parts))
end

-- "[lua] access.lua:3: check(): ", of the function that called the one that calls this.
local function place()
  local info = getinfo(3, "Sln")
  if not info then return "[lua] " end
  local where = "[lua] " .. info.short_src:match("[^/]*$") .. ":" .. (info.currentline or 0) .. ": "
  if info.name and info.name ~= "" and info.what ~= "main" then where = where .. info.name .. "(): " end
  return where
end

return function(ngx, world)
  -- Lines that are kept for scripts to read: level, time and text of each; where they are asked for.
  local kept, least
  local function keep(level, message)
    if level > least then return end
    local now = C.now(window)
    local text = ("%s [%s] %d#0: %s"):format(
      os.date("!%Y/%m/%d %H:%M:%S", now), SEVERITIES[level], slow.pid(), message)
    kept.last = kept.last + 1
    kept[kept.last], kept.bytes = { level, now, text }, kept.bytes + #text
    while kept.bytes > world.plan.capture_log do
      kept.bytes = kept.bytes - #kept[kept.first][3]
      kept[kept.first], kept.first = nil, kept.first + 1
    end
  end

  local function write(level, message)
    if kept then keep(level, message) end
    slow.log_request(LEVELS[level] or 3, message, SEVERITIES[level], world.context())
  end
  world.write_log = write
  if world.plan.capture_log > 0 then
    kept, least = { first = 1, last = 0, bytes = 0 }, ngx.DEBUG
  end

  function ngx.log(level, ...)
    if type(level) ~= "number" then
      error("bad argument #1 to 'log' (number expected, got " .. type(level) .. ")", 2)
    end
    if level < 0 or level > 8 then error("bad log level: " .. level, 2) end
    if not kept and not slow.logs(LEVELS[level]) then return end
    write(level, place() .. text_of(1, ...))
  end

  function world.print(...)
    if not kept and not slow.logs(LEVELS[ngx.NOTICE]) then return end
    write(ngx.NOTICE, place() .. text_of(1, ...))
  end

  world.preload["ngx.errlog"] = function()
    local errlog = { _VERSION = "0.1" }
    function errlog.raw_log(level, message)
      if type(level) ~= "number" then
        error("bad argument #1 to 'raw_log' (must be a number)", 2)
      end
      if type(message) ~= "string" then
        error("bad argument #2 to 'raw_log' (must be a string)", 2)
      end
      if level < 0 or level > 8 then error("bad log level", 2) end
      write(level, message)
    end
    function errlog.get_sys_filter_level()
      for level = 8, 0, -1 do
        if slow.logs(LEVELS[level]) then return level end
      end
      return ngx.ERR
    end
    local OFF = "directive \"lua_capture_error_log\" is not set"
    function errlog.set_filter_level(level)
      if type(level) ~= "number" then
        error("bad argument #1 to 'set_filter_level' (must be a number)", 2)
      end
      if not kept then return nil, OFF end
      if level < 0 or level > 8 then error("bad log level", 2) end
      least = level
      return true
    end
    -- The oldest lines, which are taken away: level, time, text, level, time, text ...
    function errlog.get_logs(max, into)
      if not kept then return nil, OFF end
      if max ~= nil and type(max) ~= "number" then
        error("bad argument #1 to 'get_logs' (must be a number)", 2)
      end
      if max == nil or max <= 0 then max = 10 end
      into = into or {}
      local at = 0
      while at < max and kept.first <= kept.last do
        local line = kept[kept.first]
        kept[kept.first], kept.first = nil, kept.first + 1
        kept.bytes = kept.bytes - #line[3]
        into[3 * at + 1], into[3 * at + 2], into[3 * at + 3] = line[1], line[2], line[3]
        at = at + 1
      end
      into[3 * at + 1] = nil
      return into
    end
    return errlog
  end
end
