-- ngx.socket.udp: datagrams. 1 is the host's handle, 5 the timeout, 8 the address that they come from.
local pl = ...
local slow = pl.slow
local type, error, select, tonumber, floor = type, error, select, tonumber, math.floor
local setmetatable, stock_tostring = setmetatable, tostring

local HANDLE, READ, FROM = 1, 5, 8
local SIZE = 65536

return function(ngx, world, kit)
  local argument, expected, settle = kit.argument, kit.expected, kit.settle
  local Udp = {}
  Udp.__index = Udp

  function ngx.socket.udp(...)
    local count = select("#", ...)
    if count ~= 0 then error("expecting zero arguments, but got " .. count, 2) end
    if world.phase() == "init" then error("no request found", 2) end
    return (setmetatable({}, Udp))
  end

  function Udp.bind(...)
    local count = select("#", ...)
    if count ~= 2 then error("expecting 2 arguments, but got " .. count, 2) end
    local socket, address = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    if type(address) ~= "string" then argument(2, expected("string", address)) end
    if not slow.is_address(address) then return nil, "bad address" end
    socket[FROM] = address
    return 1
  end

  function Udp.setpeername(...)
    local count = select("#", ...)
    if count ~= 2 and count ~= 3 then
      error("ngx.socket.udp setpeername: expecting 2 or 3 arguments (including the object), "
        .. "but seen " .. count, 2)
    end
    local socket, host, port = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    if type(host) == "number" then host = stock_tostring(host) end
    if type(host) ~= "string" then argument(2, expected("string", host)) end
    if count == 3 then
      local number = tonumber(port)
      if not number then argument(3, expected("number", port)) end
      port = floor(number)
      if port < 0 or port > 65535 then return nil, "bad port number: " .. port end
    end
    local handle = socket[HANDLE]
    if not handle then
      handle = slow.datagram_new()
      if not handle then error("no request found", 2) end
      socket[HANDLE] = handle
    end
    return settle(slow.datagram_peer(handle, host, port or 0, socket[FROM]))
  end

  function Udp.send(...)
    local count = select("#", ...)
    if count ~= 2 then
      error("expecting 2 arguments (including the object), but got " .. count, 2)
    end
    local socket, data = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    local value, why, wrong, line = slow.datagram_send(socket[HANDLE], data)
    if value == nil and why == nil then argument(2, wrong) end
    return settle(value, why, nil, line)
  end

  function Udp.receive(...)
    local count = select("#", ...)
    if count ~= 1 and count ~= 2 then
      error("expecting 1 or 2 arguments (including the object), but got " .. count, 2)
    end
    local socket, size = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    if size ~= nil then size = tonumber(size) or argument(2, expected("number", size)) end
    return settle(slow.datagram_receive(socket[HANDLE], size or SIZE,
      kit.timeout(socket, READ, "read_timeout")))
  end

  function Udp.settimeout(...)
    local count = select("#", ...)
    if count ~= 2 then
      error("ngx.socket settimeout: expecting at least 2 arguments (including the object) but seen "
        .. count, 2)
    end
    local socket, time = ...
    socket[READ] = floor(tonumber(time) or 0)
  end

  function Udp.close(...)
    local count = select("#", ...)
    if count ~= 1 then
      error("expecting 1 argument (including the object) but seen " .. count, 2)
    end
    local socket = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    return settle(slow.datagram_close(socket[HANDLE]))
  end
end
