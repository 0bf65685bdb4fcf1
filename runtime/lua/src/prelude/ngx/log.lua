-- ngx.log, print, ngx.errlog.
local pl = ...
local slow, getinfo, stock_tostring = pl.slow, debug.getinfo, tostring
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
  return concat(parts)
end

-- "[lua] access.lua:3: check(): ", of the function that called the one that calls this.
local function place()
  local info = getinfo(3, "Sln")
  if not info then return "[lua] " end
  local where = "[lua] " .. info.short_src:match("[^/]*$") .. ":" .. (info.currentline or 0) .. ": "
  if info.name and info.what ~= "main" then where = where .. info.name .. "(): " end
  return where
end

return function(ngx, world)
  local function write(level, message)
    slow.log_request(LEVELS[level] or 3, message, SEVERITIES[level])
  end
  world.write_log = write

  function ngx.log(level, ...)
    if type(level) ~= "number" then
      error("bad argument #1 to 'log' (number expected, got " .. type(level) .. ")", 2)
    end
    if level < 0 or level > 8 then error("bad log level: " .. level, 2) end
    if not slow.logs(LEVELS[level]) then return end
    write(level, place() .. text_of(1, ...))
  end

  function world.print(...)
    if not slow.logs(LEVELS[ngx.NOTICE]) then return end
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
    function errlog.set_filter_level() return nil, "not captured: [lua] capture_log is not set" end
    function errlog.get_logs() return nil, "not captured: [lua] capture_log is not set" end
    return errlog
  end
end
