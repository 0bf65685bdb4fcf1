-- Runs the check whose number the request names, in the phase that the check is for. What it returns
-- stands in a dictionary afterwards: "ok" for true.
local checks = require "names"
local run = require "checks"

return function(phase)
  local number = ngx.var.http_x_check
  local check = checks[tonumber(number)]
  if check and phase == "access" then
    if check.phase:find "^ssl_" then
      -- Shakes hands with a listener of ours, twice, by a name that says which check it is.
      local session
      for _ = 1, 2 do
        local sock = ngx.socket.tcp()
        assert(sock:connect(checks.peer.door_host, checks.peer.door))
        session = sock:sslhandshake(session, "n" .. number .. ".door.example", false)
        sock:close()
      end
    elseif check.phase:find "^proxy_ssl_" then
      return ngx.exec("@secure")
    end
  end
  -- A body has chunks: the first is the one.
  if not check or check.phase ~= phase or ngx.ctx.checked then return end
  ngx.ctx.checked = true
  ngx.shared.results:set(number, run(check.code, { peer = checks.peer }))
end
