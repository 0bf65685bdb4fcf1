-- gateway.time: times as text. They are seconds since 1970.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local type, error, floor = type, error, math.floor

-- As FORMS in calls/time.rs.
local HTTP, RFC3339, MILLIS = 0, 2, 3

local function seconds_of(name, seconds)
  if seconds == nil then return pl.now() end
  if type(seconds) ~= "number" then
    error("time." .. name .. " takes seconds, not a " .. type(seconds), 3)
  end
  return seconds
end

local function write(form, seconds)
  C.time_format(window, form, seconds)
  return (text(window.ptr, window.len))
end

local time = {}

-- Without an argument: now.
function time.http(seconds) return write(HTTP, seconds_of("http", seconds)) end

-- With milliseconds where there are some.
function time.rfc3339(seconds)
  seconds = seconds_of("rfc3339", seconds)
  return write(seconds == floor(seconds) and RFC3339 or MILLIS, seconds)
end

-- Reads both forms.
function time.parse(s)
  if type(s) ~= "string" then error("time.parse takes a string, not a " .. type(s), 2) end
  if C.time_parse(window, RFC3339, s, #s) ~= 0 or C.time_parse(window, HTTP, s, #s) ~= 0 then
    return window.num
  end
  return nil, "not a time"
end

return time
