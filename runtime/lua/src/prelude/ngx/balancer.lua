-- ngx.balancer: which server a try goes to.
local pl = ...
local slow = pl.slow
local type, error, tonumber = type, error, tonumber

return function(_, world)
  local PHASES = { balancer = true }
  local balancer = { version = "0.1.33" }

  local function seconds(value, name)
    if not value then return nil end
    if type(value) ~= "number" or value <= 0 then error("bad " .. name .. " timeout", 3) end
    return value
  end

  function balancer.set_current_peer(address, port, host)
    local at = world.allow(PHASES)
    if type(address) ~= "string" or address == "" then
      error("bad argument #1 to 'set_current_peer' (string expected)", 2)
    end
    local name, given = address:match("^([^:]+):(%d+)$")
    if name then address, port = name, tonumber(given) end
    port = tonumber(port)
    if not port and address:sub(1, 5) ~= "unix:" then
      return nil, "no host allowed"
    end
    at.pick = at.pick or {}
    at.pick.host, at.pick.port = address, port or 0
    if type(host) == "string" then at.pick.server_name = host end
    return slow.pick(at.pick)
  end

  function balancer.set_more_tries(count)
    local at = world.allow(PHASES)
    if type(count) ~= "number" or count < 0 then return nil, "bad argument" end
    at.pick = at.pick or {}
    at.pick.more_tries = count
    if at.pick.host then slow.pick(at.pick) end
    return true
  end

  function balancer.get_last_failure()
    world.allow(PHASES)
    return slow.last_failure()
  end

  function balancer.set_timeouts(connect, send, read)
    local at = world.allow(PHASES)
    connect = seconds(connect, "connect")
    seconds(send, "send")
    read = seconds(read, "read")
    at.pick = at.pick or {}
    at.pick.connect, at.pick.read = connect, read
    if at.pick.host then slow.pick(at.pick) end
    return true
  end

  -- Connections to what a script picked are pooled like all others.
  function balancer.enable_keepalive() return true end
  function balancer.recreate_request() return true end

  function balancer.set_upstream_tls(on)
    local at = world.allow(PHASES)
    at.pick = at.pick or {}
    at.pick.tls = on and true or false
    if at.pick.host then slow.pick(at.pick) end
    return true
  end

  return balancer
end
