-- TLS over ngx.socket's connections.
local pl = ...
local slow, TAKE = pl.slow, pl.TAKE
local type, error, select = type, error, select
local token = pl.part("token")

local HANDLE, CONNECT, CERTIFICATE, KEY = 1, 2, 6, 7

return function(_, world, kit)
  local Tcp, yield = kit.Tcp, world.yield

  -- The results of a handshake; `reused` is the session that was to be reused, false for none.
  local function settle(reused, value, why, kept, line)
    if value == false then return settle(reused, yield(TAKE)) end
    if value == nil then return kit.settle(value, why, nil, line) end
    if kept then return token.new(value) end
    -- No session is wanted, the connection was TLS already, or there is no room for one more.
    return reused or true
  end

  function Tcp.sslhandshake(socket, reused, name, verify, _, ...)
    local more = select("#", ...)
    if not socket or more > 0 then
      error("ngx.socket sslhandshake: expecting 1 ~ 5 arguments (including the object), but seen "
        .. (socket and 5 + more or 0), 2)
    end
    return settle(reused, slow.socket_handshake(kit.handle_of(socket), reused ~= false,
      token.number(reused), name, verify and true or false, token.number(socket[CERTIFICATE]),
      token.number(socket[KEY]), kit.timeout(socket, CONNECT, "connect_timeout"),
      world.settings.ssl))
  end

  function Tcp.setclientcert(socket, certificate, key)
    if not certificate and not key then
      socket[CERTIFICATE], socket[KEY] = nil, nil
      return true
    end
    if not certificate or not key then
      return nil, "client certificate must be supplied with corresponding private key"
    end
    if type(certificate) ~= "cdata" then
      return nil, "bad cert arg: cdata expected, got " .. type(certificate)
    end
    if type(key) ~= "cdata" then
      return nil, "bad pkey arg: cdata expected, got " .. type(key)
    end
    socket[CERTIFICATE], socket[KEY] = certificate, key
    return true
  end

  function Tcp.getsslsession(socket)
    if not socket then
      error("ngx.socket getsslsession: expecting the cosocket object, but seen none", 2)
    end
    local number, why = slow.socket_session(socket[HANDLE])
    if not number then return nil, why end
    return token.new(number)
  end
end
