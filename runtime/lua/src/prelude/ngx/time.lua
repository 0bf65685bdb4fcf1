-- ngx.*: the clock and dates. nginx looks at its clock once a turn of its loop; here it is always
-- right, so `update_time` has nothing to do.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local type, error, floor, date = type, error, math.floor, os.date
local now = pl.now

-- As FORMS in calls/time.rs.
local HTTP, COOKIE = 0, 1

return function(ngx)
  -- Milliseconds are as fine as nginx counts.
  function ngx.now() return floor(now() * 1000) / 1000 end
  function ngx.time() return (floor(now())) end
  function ngx.update_time() end

  function ngx.today() return date("%Y-%m-%d", floor(now())) end
  function ngx.localtime() return date("%Y-%m-%d %H:%M:%S", floor(now())) end
  function ngx.utctime() return date("!%Y-%m-%d %H:%M:%S", floor(now())) end

  local function writer(form)
    return function(seconds)
      if type(seconds) ~= "number" then error("number argument only", 2) end
      C.time_format(window, form, seconds)
      return (text(window.ptr, window.len))
    end
  end
  ngx.http_time, ngx.cookie_time = writer(HTTP), writer(COOKIE)

  function ngx.parse_http_time(s)
    if type(s) ~= "string" then error("string argument only", 2) end
    if C.time_parse(window, HTTP, s, #s) == 0 then return nil end
    return window.num
  end
end
