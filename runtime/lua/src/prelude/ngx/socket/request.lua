-- ngx.req.socket: the request's body as a stream, without HTTP around it.
local pl = ...
local slow = pl.slow
local error, select, setmetatable = error, select, setmetatable

return function(ngx, world, kit)
  local Body = kit.class {}
  local PHASES = {
    server_rewrite = true, rewrite = true, access = true, precontent = true, content = true,
  }

  local Raw = kit.class { send = kit.send }

  -- The client's connection: from here on the script speaks for itself.
  local function raw(at)
    if at.raw then return nil, "duplicate call" end
    if at.held then return nil, "http 1.0 buffering" end
    local handle = slow.socket_of_client()
    if not handle then return nil, "too many open sockets" end
    local taken, why = world.yield(pl.TAKE)
    if not taken then return nil, why end
    at.raw, at.body_read, at.marked = true, true, true
    return (setmetatable({ handle }, Raw))
  end

  function ngx.req.socket(...)
    local count = select("#", ...)
    if count > 1 then error("expecting 0 or 1 argument, but got " .. count, 2) end
    local at = world.allow(PHASES)
    if at.parent then error("attempt to read the request body in a subrequest", 2) end
    if (...) then return raw(at) end
    if at.body_read then return nil, "request body already exists" end
    local handle = slow.socket_of_body()
    if not handle then return nil, "no body" end
    at.body_read = true
    return (setmetatable({ handle }, Body))
  end
end
