-- kong.observability.tracing.request_id: the id that the gateway gave the exchange.
local _, dialect = ...

local function get()
  local ctx = dialect.ctx()
  if not ctx then return nil, "no request found" end
  local id = ctx.request_id
  if not id then
    id = ngx.var.request_id
    ctx.request_id = id
  end
  return id
end

return { get = get, _get_ctx_request_id = function() return ngx.ctx.request_id end }
