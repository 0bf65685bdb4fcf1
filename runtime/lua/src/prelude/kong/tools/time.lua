-- kong.tools.time
local error, tonumber = error, tonumber

local time = {}

function time.time_ns()
  ngx.update_time()
  return ngx.now() * 1e9
end

function time.get_updated_now()
  ngx.update_time()
  return ngx.now()
end

function time.get_now_ms() return ngx.now() * 1000 end
function time.get_updated_now_ms() return time.get_updated_now() * 1000 end
function time.get_start_time_ms() return ngx.req.start_time() * 1000 end
function time.get_updated_monotonic_ms()
  ngx.update_time()
  return require("resty.core.time").monotonic_msec()
end

local units = {
  ms = 0.001, s = 1, [""] = 1, m = 60, h = 3600, d = 86400, w = 604800, M = 2592000, y = 31536000,
}

-- "1h 30m" and such, whole seconds.
function time.nginx_conf_time_to_seconds(text)
  local total, rest = 0, text:gsub("%s*(%d+)(%a*)", function(number, unit)
    return units[unit] and "\0" .. number .. " " .. unit .. "\1" or nil
  end)
  for number, unit in rest:gmatch("%z(%d+) (%a*)\1") do
    total = total + tonumber(number) * units[unit]
  end
  if rest == text or rest:gsub("%z[^\1]*\1", "") ~= "" then
    error("bad argument #1 'str'", 2)
  end
  return (math.floor(total))
end

return time
