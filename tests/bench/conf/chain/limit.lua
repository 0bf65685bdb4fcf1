-- Counts a client's requests of a minute in a shared dictionary.
local counts = ngx.shared.counts
local LIMIT = 1e9

return function()
  local window = math.floor(ngx.now() / 60)
  local count, why = counts:incr(ngx.var.remote_addr .. ":" .. window, 1, 0, 120)
  if not count then ngx.log(ngx.ERR, why) return end
  if count > LIMIT then
    ngx.header["retry-after"] = 60
    return ngx.exit(429)
  end
  ngx.req.set_header("x-remaining", LIMIT - count)
end
