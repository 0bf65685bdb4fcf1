-- ngx.req.socket: the request's body as a stream, without HTTP around it.
local pl = ...
local slow = pl.slow
local error, select, setmetatable = error, select, setmetatable

return function(ngx, world, kit)
  local Body = kit.class {}
  local PHASES = {
    server_rewrite = true, rewrite = true, access = true, precontent = true, content = true,
  }

  function ngx.req.socket(...)
    local count = select("#", ...)
    if count > 1 then error("expecting 0 or 1 argument, but got " .. count, 2) end
    local at = world.allow(PHASES)
    if at.parent then error("attempt to read the request body in a subrequest", 2) end
    if at.body_read then return nil, "request body already exists" end
    local handle = slow.socket_of_body()
    if not handle then return nil, "no body" end
    at.body_read = true
    return setmetatable({ handle }, Body)
  end
end
