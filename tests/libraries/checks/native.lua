-- The same as checks.lua, for gateway.redis.
local checks = require "checks.gateway_redis"

local filter = {}

function filter.request(req)
  local number = tonumber(req.path:match("(%d*)$"))
  if not number then
    local names = {}
    for index, check in ipairs(checks) do names[index] = check[1] .. "\n" end
    return { body = table.concat(names) }
  end
  local done, why = xpcall(checks[number][2], function(e) return tostring(e) end)
  if done then return { body = "ok" } end
  return { status = 500, body = tostring(why) }
end

return filter
