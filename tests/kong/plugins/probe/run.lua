-- Runs the check whose number the request names, in the phase that the check is for. What it returns
-- stands in a dictionary afterwards: "ok" for true.
local run = require "checks"

return function(phases)
  local handler = { PRIORITY = 1000, VERSION = "1.0.0" }
  for _, phase in ipairs(phases) do
    handler[phase] = function(_, conf)
      local number = ngx.var.http_x_check
      local check = conf.checks[tonumber(number)]
      if check and check.phase == phase then ngx.shared.results:set(number, run(check.code)) end
    end
  end
  function handler:configure(configs)
    for number, check in ipairs(configs[1].checks) do
      if check.phase == "init_worker" then ngx.shared.results:set(tostring(number), run(check.code)) end
    end
  end
  return handler
end
