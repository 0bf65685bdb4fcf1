-- /LIBRARY/ lists a library's checks, /LIBRARY/NUMBER runs one.
local library, number = ngx.var.uri:match("^/([^/]+)/(%d*)")
if not library then return ngx.exit(404) end

-- What this version of a library does not have is false.
local checks = {}
for _, check in ipairs(require("checks." .. library)) do
  if check then checks[#checks + 1] = check end
end
if number == "" then
  for _, check in ipairs(checks) do
    ngx.say(check[1], check.client and "\t" .. check.client or "")
  end
  return
end

local check = checks[tonumber(number)]
local done, why = xpcall(check[2], debug and debug.traceback or function(e) return tostring(e) end)
if not done then
  ngx.log(ngx.ERR, library, ": ", check[1], ": ", why)
  ngx.status = 500
  return ngx.print(tostring(why))
end
if not check.silent then ngx.print("ok") end
