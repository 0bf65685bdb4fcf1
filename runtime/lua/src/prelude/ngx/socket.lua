-- ngx.socket: connections of scripts. A socket is a table: 1 is the host's handle, 2, 4 and 5 are
-- its timeouts (connect, send, read), 3 is its pool's name, 6 and 7 a client's certificate and key,
-- 8 and 9 the address and port that it comes from, 10 whether that may be anybody's.
local pl = ...
local slow, TAKE = pl.slow, pl.TAKE
local type, error, select, tonumber, stock_tostring = type, error, select, tonumber, tostring
local setmetatable, pairs, getinfo, floor = setmetatable, pairs, debug.getinfo, math.floor

local HANDLE, CONNECT, KEY, SEND, READ, FROM, PORT, ANYBODY = 1, 2, 3, 4, 5, 8, 9, 10
local LINE, ALL, EXACTLY, AT_MOST = 0, 1, 2, 3
local OPTIONS = {
  keepalive = 1, reuseaddr = 2, ["tcp-nodelay"] = 3, sndbuf = 4, rcvbuf = 5, keepintvl = 6,
  keepcnt = 7,
}
-- Where the settings are silent: milliseconds, connections, bytes.
local TIMEOUT, POOL, BUFFER = 60000, 30, 4096
-- Timeouts fit 31 bits.
local TIMEOUT_MAX = 2 ^ 31

-- An error in an argument, as C functions raise it; a method calls this.
local function argument(at, why)
  local info = getinfo(2, "n")
  local name = info and info.name or "?"
  if info and info.namewhat == "method" then
    at = at - 1
    if at == 0 then error("calling '" .. name .. "' on bad self (" .. why .. ")", 3) end
  end
  error("bad argument #" .. at .. " to '" .. name .. "' (" .. why .. ")", 3)
end

local function expected(kind, value) return kind .. " expected, got " .. type(value) end

return function(ngx, world)
  local yield = world.yield

  -- A setting of the filter's `socket` table.
  local function setting(name)
    local settings = world.settings.socket
    return settings and settings[name]
  end

  -- How long a socket waits, in milliseconds; settings are seconds.
  local function timeout(socket, which, name)
    local own = socket[which]
    if type(own) == "number" and own > 0 then return own end
    local seconds = setting(name)
    return seconds and seconds * 1000 or TIMEOUT
  end

  -- The results of an operation, once it is over. Only tail calls lead here and on, so that the
  -- script is at level 2.
  -- A connection that is refused is an everyday error; one that can't even be tried is not.
  local function severity(line)
    local number = line:match("^connect%(%) to unix:.* failed %((%d+):")
    return number and number ~= "111" and number ~= "11" and ngx.CRIT or ngx.ERR
  end

  local function settle(value, why, partial, line)
    if value == false then return settle(yield(TAKE)) end
    if value ~= nil then return value end
    if line and setting("log_errors") ~= false then world.write_log(severity(line), line) end
    if why == "bad request" then error(why, 2) end
    if partial == nil then return nil, why end
    return nil, why, partial
  end

  local Shared = {}

  function Shared.receive(...)
    local count = select("#", ...)
    if count ~= 1 and count ~= 2 then
      error("expecting 1 or 2 arguments (including the object), but got " .. count, 2)
    end
    local socket, what = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    local kind, size = LINE, tonumber(what)
    if size then
      if size <= -1 then argument(2, "bad number argument") end
      kind = EXACTLY
    elseif count == 2 and what ~= "*l" then
      if type(what) ~= "string" then argument(2, "bad argument") end
      if what ~= "*a" then
        local odd = #what ~= 2 or what:sub(1, 1) ~= "*"
        argument(2, odd and "bad pattern argument: " .. what or "bad pattern argument")
      end
      kind = ALL
    end
    return settle(slow.socket_receive(socket[HANDLE], kind, size or 0,
      timeout(socket, READ, "read_timeout"), setting("buffer_size") or BUFFER))
  end

  function Shared.receiveany(...)
    local count = select("#", ...)
    if count ~= 2 then
      error("expecting 2 arguments (including the object), but got " .. count, 2)
    end
    local socket, most = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    most = tonumber(most)
    if not most or most < 1 then argument(2, "bad max argument") end
    return settle(slow.socket_receive(socket[HANDLE], AT_MOST, most,
      timeout(socket, READ, "read_timeout"), setting("buffer_size") or BUFFER))
  end

  function Shared.receiveuntil(...)
    local count = select("#", ...)
    if count ~= 2 and count ~= 3 then
      error("expecting 2 or 3 arguments (including the object), but got " .. count, 2)
    end
    local socket, pattern, options = ...
    local inclusive = false
    if count == 3 then
      if type(options) ~= "table" then argument(3, expected("table", options)) end
      inclusive = options.inclusive
      if inclusive ~= nil and type(inclusive) ~= "boolean" then
        error("bad \"inclusive\" option value type: " .. type(inclusive), 2)
      end
    end
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    if type(pattern) == "number" then pattern = stock_tostring(pattern) end
    if type(pattern) ~= "string" then argument(2, expected("string", pattern)) end
    if pattern == "" then return nil, "pattern is empty" end

    -- Once a read by size has come to the text, the next call says that it is over.
    local over = false
    local function settle_part(by_size, value, why, partial, line)
      if value == false then return settle_part(by_size, yield(TAKE)) end
      over = by_size and partial == true
      return settle(value, why, partial, line)
    end
    return function(...)
      local given = select("#", ...)
      if given > 1 then error("expecting 0 or 1 argument, but seen " .. given, 2) end
      local size = 0
      if given == 1 then
        size = tonumber((...))
        if not size then argument(1, expected("number", (...))) end
        size = size < 1 and 0 or floor(size)
      end
      if over then
        over = false
        return nil, nil, nil
      end
      return settle_part(size > 0, slow.socket_until(socket[HANDLE], pattern, size, inclusive,
        timeout(socket, READ, "read_timeout"), setting("buffer_size") or BUFFER))
    end
  end

  -- A time in milliseconds; 0 is the setting's.
  local function time_of(value)
    value = tonumber(value) or 0
    if value <= -1 or value >= TIMEOUT_MAX then error("bad timeout value", 3) end
    return (floor(value))
  end

  function Shared.settimeout(...)
    local count = select("#", ...)
    if count ~= 2 then
      error("ngx.socket settimeout: expecting 2 arguments (including the object) but seen "
        .. count, 2)
    end
    local socket, time = ...
    time = time_of(time)
    socket[CONNECT], socket[SEND], socket[READ] = time, time, time
  end

  function Shared.settimeouts(...)
    local count = select("#", ...)
    if count ~= 4 then
      error("ngx.socket settimeouts: expecting 4 arguments (including the object) but seen "
        .. count, 2)
    end
    local socket, connect, send, read = ...
    connect, send, read = time_of(connect), time_of(send), time_of(read)
    socket[CONNECT], socket[SEND], socket[READ] = connect, send, read
  end

  local function handle_of(socket)
    local handle = socket[HANDLE]
    if not handle then error("socket is never created nor connected", 3) end
    return handle
  end

  function Shared.getoption(socket, option)
    local handle = handle_of(socket)
    if option == nil then return nil, "missing the \"option\" argument" end
    local number = OPTIONS[option]
    if not number then return nil, "unsupported option " .. stock_tostring(option) end
    return slow.socket_option(handle, number)
  end

  function Shared.setoption(socket, option, value)
    if option == nil then return nil, "missing the \"option\" argument" end
    if value == nil then return nil, "missing the \"value\" argument" end
    if option == "ip-transparent" then
      socket[ANYBODY] = value
      return true
    end
    local handle = handle_of(socket)
    local number = OPTIONS[option]
    if not number then return nil, "unsupported option " .. stock_tostring(option) end
    if type(value) == "boolean" then value = value and 1 or 0 end
    if type(value) ~= "number" then argument(3, expected("number", value)) end
    return slow.socket_option(handle, number, value)
  end

  function Shared.getfd(socket)
    if not socket then
      error("ngx.socket getfd: expecting the cosocket object, but seen none", 2)
    end
    return slow.socket_descriptor(handle_of(socket))
  end

  local function send(...)
    local count = select("#", ...)
    if count ~= 2 then
      error("expecting 2 arguments (including the object), but got " .. count, 2)
    end
    local socket, data = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    local value, why, wrong, line =
      slow.socket_send(socket[HANDLE], data, timeout(socket, SEND, "send_timeout"))
    if value == nil and why == nil then argument(2, wrong) end
    if why == "attempt to write to request sockets" then error(why, 2) end
    return settle(value, why, nil, line)
  end

  local function class(more)
    local made = {}
    for name, method in pairs(Shared) do made[name] = method end
    for name, method in pairs(more) do made[name] = method end
    made.__index = made
    return made
  end
  local Tcp = class { send = send }

  function Tcp.bind(...)
    local count = select("#", ...)
    if count ~= 2 and count ~= 3 then
      error("expecting 2 or 3 arguments, but got " .. count, 2)
    end
    local socket, address, port = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    local number = 0
    if count == 3 then
      number = tonumber(port)
      if not number then
        return nil, "expecting port to be anumber but got type: " .. type(port)
      end
      number = floor(number)
      if number < 0 or number > 65535 then return nil, "bad port number: " .. number end
    end
    if type(address) ~= "string" then argument(2, expected("string", address)) end
    if not slow.is_address(address) then return nil, "bad address" end
    socket[FROM], socket[PORT] = address, number
    return true
  end

  -- The options of a connect: its pool's size, backlog and name; or what is wrong with them.
  local function options_of(options)
    local size, backlog, pool = options.pool_size, options.backlog, options.pool
    local number, most = tonumber(size), tonumber(backlog)
    if not number and size ~= nil then
      return nil, nil, nil, "bad \"pool_size\" option type: " .. type(size)
    end
    if number and number < 1 then
      return nil, nil, nil, "bad \"pool_size\" option value: " .. floor(number)
    end
    if most and most <= -1 then
      return nil, nil, nil, "bad \"backlog\" option value: " .. floor(most)
    end
    if type(pool) == "number" then pool = stock_tostring(pool) end
    if pool ~= nil and type(pool) ~= "string" then
      return nil, nil, nil, "bad \"pool\" option type: " .. type(pool)
    end
    if most and not number then number = setting("pool_size") or POOL end
    return number, most, pool
  end

  function Tcp.connect(...)
    local count = select("#", ...)
    if count < 2 or count > 4 then
      error("ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen "
        .. count, 2)
    end
    local socket, host, port, options = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    if type(host) == "number" then host = stock_tostring(host) end
    if type(host) ~= "string" then argument(2, expected("string", host)) end
    if count == 3 and type(port) == "table" then port, options = nil, port end
    local size, backlog, pool, wrong
    if type(options) == "table" then
      size, backlog, pool, wrong = options_of(options)
      if wrong then argument(count, wrong) end
    end
    local number, key = tonumber(port), host
    if number then
      number = floor(number)
      if number < 0 or number > 65535 then return nil, "bad port number: " .. number end
      key = host .. ":" .. port
    elseif host:sub(1, 5):lower() ~= "unix:" then
      return nil, "missing the port number"
    end
    local handle = socket[HANDLE]
    if not handle then
      handle = slow.socket_new()
      if not handle then error("no request found", 2) end
      socket[HANDLE] = handle
    end
    socket[KEY] = pool or key
    return settle(slow.socket_connect(handle, host, number or 0, socket[KEY], size, backlog,
      timeout(socket, CONNECT, "connect_timeout"), socket[FROM], socket[PORT], socket[ANYBODY]))
  end

  function Tcp.close(...)
    local count = select("#", ...)
    if count ~= 1 then
      error("expecting 1 argument (including the object) but seen " .. count, 2)
    end
    local socket = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    return settle(slow.socket_close(socket[HANDLE]))
  end

  function Tcp.getreusedtimes(...)
    local count = select("#", ...)
    if count ~= 1 then
      error("expecting 1 argument (including the object), but got " .. count, 2)
    end
    local socket = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    return slow.socket_reused(socket[HANDLE])
  end

  function Tcp.setkeepalive(...)
    local count = select("#", ...)
    if count < 1 or count > 3 then
      error("expecting 1 to 3 arguments (including the object), but got " .. count, 2)
    end
    local socket, time, size = ...
    if type(socket) ~= "table" then argument(1, expected("table", socket)) end
    if time ~= nil then
      time = tonumber(time) or argument(2, expected("number", time))
    else
      local seconds = setting("keepalive_timeout")
      time = seconds and seconds * 1000 or TIMEOUT
    end
    if size ~= nil then
      size = tonumber(size) or argument(3, expected("number", size))
    else
      size = setting("pool_size") or POOL
    end
    if size < 1 then
      argument(count, "bad \"pool_size\" option value: " .. floor(size))
    end
    return settle(slow.socket_keepalive(socket[HANDLE], socket[KEY], time, size))
  end

  local socket = {}
  ngx.socket = socket

  function socket.tcp(...)
    local count = select("#", ...)
    if count ~= 0 then error("expecting zero arguments, but got " .. count, 2) end
    if world.phase() == "init" then error("no request found", 2) end
    return (setmetatable({}, Tcp))
  end
  socket.stream = socket.tcp

  function socket.connect(...)
    local made = socket.tcp()
    local ok, why = made:connect(...)
    if ok then return made end
    return nil, why
  end

  -- What the other kinds of sockets are made of.
  local kit = {
    Tcp = Tcp, class = class, send = send, settle = settle, timeout = timeout, setting = setting,
    argument = argument, expected = expected, handle_of = handle_of,
  }
  pl.part("ngx/socket/tls")(ngx, world, kit)
  pl.part("ngx/socket/udp")(ngx, world, kit)
  pl.part("ngx/socket/request")(ngx, world, kit)
end
