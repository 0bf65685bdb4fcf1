-- The same as `probe`, in the handshakes of TLS. Sessions are kept for those who come back.
local checks = require "names"
local run = require "checks"

return function(phase)
  local ours = phase:find "^proxy_"
  local number = ours and ngx.var.http_x_check or require("ngx.ssl").server_name():match "^n(%d+)%."
  local check = checks[tonumber(number)]
  if check and check.phase == phase and not ngx.ctx.shaken then
    ngx.ctx.shaken = true
    ngx.shared.results:set(number, run(check.code, { peer = checks.peer }))
  end
  -- Whatever the check has said of it, the certificate is good.
  if phase == "proxy_ssl_verify" then require("ngx.ssl.proxysslverify").set_verify_result(0) end
  if phase == "ssl_session_store" then
    local session = require "ngx.ssl.session"
    ngx.shared.other:set(session.get_session_id(), session.get_serialized_session())
  end
end
