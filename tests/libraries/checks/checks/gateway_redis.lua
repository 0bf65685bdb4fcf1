-- The gateway's own API, against a real Redis.
local kit = require "kit"
local equal, fails = kit.equal, kit.fails
local main = gateway.redis "main"

-- Has the process that runs the checks do something; scripts of this API have no raw sockets.
local function ask(line)
  local answer = assert(gateway.fetch {
    url = "http://127.0.0.1:" .. kit.peers.web.port .. "/control?" .. line:gsub(" ", "%%20"), timeout = 60,
  })
  equal(answer.status, 200, answer.body)
  return answer.body
end

local function pid(server) return equal(server:cmd("INFO", "server"):match("process_id:(%d+)") ~= nil, true) end

return {
  { "values of all kinds", function()
    equal(main:cmd("FLUSHALL"), "OK")
    equal(main:cmd("SET", "k", 12), "OK")
    equal(main:cmd("GET", "k"), "12")
    equal(main:cmd("INCRBY", "k", 30), 42)
    equal({ main:cmd("GET", "none") }, {})
    local binary = "\0\r\n$5\r\n" .. string.char(200) .. ("x"):rep(200000)
    equal(main:cmd("SET", "b", binary), "OK")
    equal(main:cmd("GET", "b") == binary, true)
    main:cmd("RPUSH", "l", "a", "b", "c")
    equal(main:cmd("LRANGE", "l", 0, -1), { "a", "b", "c" })
    equal(main:cmd("EVAL", "return {1, 'two', false, {3}}", 0), { 1, "two", false, { 3 } })
  end },
  { "the server's refusals", function()
    fails("~^ERR unknown command", main:cmd("NONSENSE"))
    fails("~^WRONGTYPE", main:cmd("INCR", "l"))
    equal(main:cmd("PING"), "PONG")
  end },
  { "pipelines", function()
    local replies = assert(main:pipeline(function(p)
      p:cmd("SET", "p", 1):cmd("INCR", "p"):cmd("INCR", "l"):cmd("GET", "none")
    end))
    equal({ replies[1], replies[2], replies[4] }, { "OK", 2, false })
    equal(replies[3].err:find("^WRONGTYPE") ~= nil, true)
    replies = assert(main:pipeline(function(p) for n = 1, 5000 do p:cmd("SET", "n" .. n, n) end end))
    equal(#replies, 5000)
    replies = assert(main:pipeline(function(p) for n = 1, 5000 do p:cmd("GET", "n" .. n) end end))
    equal({ replies[1], replies[5000] }, { "1", "5000" })
    replies = assert(main:pipeline(function(p) p:cmd("MULTI"):cmd("INCR", "p"):cmd("EXEC") end))
    equal(replies, { "OK", "QUEUED", { 3 } })
  end },
  { "connections are kept", function()
    local number = main:cmd("CLIENT", "ID")
    for _ = 1, 5 do equal(main:cmd("CLIENT", "ID"), number) end
  end },
  { "side by side, and more than the pool keeps", function()
    local calls = {}
    for n = 1, 8 do
      calls[n] = function()
        local _, why = main:cmd("BLPOP", "never" .. n, 0.1)
        return why or "nothing"
      end
    end
    local began = gateway.monotonic()
    equal(table.concat(gateway.all(calls), " "), ("nothing "):rep(7) .. "nothing")
    equal(gateway.monotonic() - began < 0.4, true)
    gateway.sleep(0.05)
    local _, clients = main:cmd("CLIENT", "LIST"):gsub("cmd=", "")
    equal(clients <= 4, true, "clients: " .. clients)
  end },
  { "a user, a database and TLS", function()
    local secret = gateway.redis "secret"
    equal(secret:cmd("ACL", "WHOAMI"), "app")
    equal(secret:cmd("SET", "there", 1), "OK")
    equal(main:cmd("GET", "there"), nil)
    equal(secret:cmd("CLIENT", "INFO"):find(" db=1 ") ~= nil, true)
  end },
  { "a socket of Unix", function() equal(gateway.redis "unix":cmd("PING"), "PONG") end },
  { "a wrong password", function()
    for _ = 1, 2 do fails("~WRONGPASS", gateway.redis "wrong":cmd("PING")) end
  end },
  { "a server that is slow", function()
    fails("timeout", main:cmd("BLPOP", "never", 3))
    equal(main:cmd("PING"), "PONG")
  end },
  { "a server that is stopped and comes back", function()
    pid(main)
    ask "stop redis"
    for _ = 1, 2 do fails("~refused", main:cmd("PING")) end
    ask "start redis"
    equal(main:cmd("PING"), "PONG")
  end },
  { "a restart between two commands", function()
    main:cmd("SET", "k", 1)
    ask "restart redis"
    equal(main:cmd("SET", "k", 2), "OK")
    equal(main:pipeline(function(p) p:cmd("GET", "k"):cmd("PING") end), { "2", "PONG" })
  end },
  { "connections that the server has closed", function()
    main:cmd("PING")
    ask "restart redis"
    local replies = assert(main:pipeline(function(p) p:cmd("PING"):cmd("PING") end))
    equal(replies, { "PONG", "PONG" })
    main:cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
    gateway.sleep(0.1)
    equal(main:cmd("PING"), "PONG")
  end },
  { "a server that dies in the middle of a reply", function()
    main:cmd("SET", "long", ("x"):rep(1000))
    for _ = 1, 2 do
      fails("closed", gateway.redis "closes":cmd("GET", "long"))
      fails("~reset", gateway.redis "resets":cmd("GET", "long"))
    end
    fails("closed", gateway.redis "closes":pipeline(function(p) p:cmd("PING"):cmd("PING") end))
    equal(gateway.redis "closes":cmd("PING"), "PONG")
  end },
  { "a server that stalls in the middle of a reply", function()
    local began = gateway.monotonic()
    fails("timeout", gateway.redis "stalls":cmd("GET", "long"))
    local took = gateway.monotonic() - began
    equal(took > 0.25 and took < 2, true, "seconds " .. took)
    equal(gateway.redis "stalls":cmd("PING"), "PONG")
  end },
}
