-- Runs the check whose number the request names, in the phase that the check is for. What it returns
-- stands in a dictionary afterwards: "ok" for true.
local checks = require "names"
local run = require "checks"

return function(phase)
  local number = ngx.var.http_x_check
  local check = checks[tonumber(number)]
  -- A body has chunks: the first is the one.
  if not check or check.phase ~= phase or ngx.ctx.checked then return end
  ngx.ctx.checked = true
  ngx.shared.results:set(number, run(check.code, { peer = checks.peer }))
end
