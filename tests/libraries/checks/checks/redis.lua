local kit = require "kit"
local equal, fails, peers = kit.equal, kit.fails, kit.peers
local redis = kit.lib "redis"
local peer = peers.redis

local function connected(options, port)
  local red = redis:new()
  red:set_timeout(5000)
  assert(red:connect("127.0.0.1", port or peer.port, options))
  return red
end

return {
  { "set, get and what is not there", function()
    local red = connected()
    equal(red:flushall(), "OK")
    equal(red:set("dog", "an animal"), "OK")
    equal(red:get("dog"), "an animal")
    equal(red:get("cat"), ngx.null)
    equal(red:incr("n"), 1)
    equal(red:mset("a", 1, "b", "two"), "OK")
    equal(red:mget("a", "b", "c"), { "1", "two", ngx.null })
    local binary = "\0\r\n$5\r\n" .. ("x"):rep(300000)
    equal(red:set("binary", binary), "OK")
    equal(red:get("binary") == binary, true)
    equal(red:hmset("h", { x = "1", y = "2" }), "OK")
    equal(red:array_to_hash(red:hgetall("h")), { x = "1", y = "2" })
    equal(red:eval("return {1, redis.call('get', KEYS[1])}", 1, "dog"), { 1, "an animal" })
    red:close()
  end },
  { "the server's refusals", function()
    local red = connected()
    local got, why = red:incr("dog")
    equal({ got, why }, { false, "ERR value is not an integer or out of range" })
    fails("~unknown command", red:nonsense())
    equal(red:ping(), "PONG")
    red:close()
  end },
  { "pipelines", function()
    local red = connected()
    red:init_pipeline()
    red:set("cat", "Marry")
    red:get("cat")
    red:incr("cat")
    red:get("none")
    equal(assert(red:commit_pipeline()),
      { "OK", "Marry", { false, "ERR value is not an integer or out of range" }, ngx.null })
    red:init_pipeline()
    for n = 1, 2000 do red:set("k" .. n, n) end
    equal(#assert(red:commit_pipeline()), 2000)
    red:init_pipeline()
    red:cancel_pipeline()
    equal(red:get("k2000"), "2000")
    red:close()
  end },
  { "transactions", function()
    local red = connected()
    equal(red:multi(), "OK")
    equal(red:set("a", "abc"), "QUEUED")
    equal(red:lpop("a"), "QUEUED")
    local answer = assert(red:exec())
    equal(answer[1], "OK")
    equal(answer[2][1], false)
    red:close()
  end },
  { "publish and subscribe", function()
    local listener, speaker = connected(), connected()
    equal(listener:subscribe("dog"), { "subscribe", "dog", 1 })
    equal(listener:psubscribe("c*"), { "psubscribe", "c*", 2 })
    local heard = {}
    local thread = assert(ngx.thread.spawn(function()
      for n = 1, 3 do heard[n] = assert(listener:read_reply()) end
    end))
    equal(speaker:publish("dog", "hello"), 1)
    equal(speaker:publish("cat", ("x"):rep(20000)), 1)
    equal(speaker:publish("nobody", "hello"), 0)
    equal(speaker:publish("dog", "bye"), 1)
    assert(ngx.thread.wait(thread))
    equal(heard[1], { "message", "dog", "hello" })
    equal({ heard[2][1], heard[2][3], #heard[2][4] }, { "pmessage", "cat", 20000 })
    equal(heard[3], { "message", "dog", "bye" })
    listener:set_timeout(50)
    fails("timeout", listener:read_reply())
    listener:close()
    speaker:close()
  end },
  { "users and passwords", function()
    local red = connected()
    equal(red:auth("app", "secret"), "OK")
    equal(red:acl("whoami"), "app")
    fails("~^WRONGPASS", red:auth("app", "other"))
    red:close()
  end },
  { "databases, sorted sets and scans", function()
    local red = connected()
    equal(red:select(3), "OK")
    equal(red:zadd("z", 1, "one", 2, "two"), 2)
    equal(red:zrange("z", 0, -1, "withscores"), { "one", "1", "two", "2" })
    local answer = assert(red:scan(0))
    equal({ answer[1], answer[2] }, { "0", { "z" } })
    red:close()
  end },
  { "a socket of Unix", function()
    local red = redis:new()
    assert(red:connect(peer.unix))
    equal(red:ping(), "PONG")
    red:close()
  end },
  tonumber(redis._VERSION) >= 0.28 and { "TLS", function()
    local red = connected({ ssl = true, ssl_verify = true, server_name = "localhost" }, peer.tls)
    equal(red:set("secure", 1), "OK")
    equal(red:get("secure"), "1")
    assert(red:set_keepalive(10000, 10))
    red = connected({ ssl = true, ssl_verify = true, server_name = "localhost" }, peer.tls)
    equal(red:get_reused_times(), 1)
    equal(red:get("secure"), "1")
    red:close()
    local other = redis:new()
    fails("~certificate", other:connect("127.0.0.1", peer.tls,
      { ssl = true, ssl_verify = true, server_name = "elsewhere.test" }))
  end },
  { "pools and their counts", function()
    local options = { pool = "counted", pool_size = 2 }
    local red = connected(options)
    equal(red:get_reused_times(), 0)
    local id = red:client("id")
    for n = 1, 3 do
      assert(red:set_keepalive(10000, 2))
      red = connected(options)
      equal({ red:get_reused_times(), red:client("id") }, { n, id })
    end
    red:close()
    red = connected(options)
    equal(red:get_reused_times(), 0)
    assert(red:set_keepalive(20, 2))
    ngx.sleep(0.1)
    red = connected(options)
    equal(red:get_reused_times(), 0, "past its keepalive time")
    red:close()
  end },
  { "a pool with a backlog", function()
    local options = { pool = "queued", pool_size = 1, backlog = 1 }
    local first = connected(options)
    local second = redis:new()
    local thread = ngx.thread.spawn(function() return second:connect("127.0.0.1", peer.port, options) end)
    local third = redis:new()
    fails("too many waiting connect operations", third:connect("127.0.0.1", peer.port, options))
    assert(first:set_keepalive())
    local _, ok = ngx.thread.wait(thread)
    equal(ok, 1)
    equal(second:get_reused_times(), 1)
    second:close()
  end },
  { "time-outs", function()
    local red = connected()
    equal(red:client("pause", 300), "OK")
    red:set_timeout(100)
    fails("timeout", red:ping())
    fails("~closed", red:ping())
    red:set_timeout(5000)
    assert(red:connect("127.0.0.1", peer.port))
    equal(red:ping(), "PONG")
    red:close()
  end },
  { "a server that dies in the middle of a reply", function()
    for ending, why in pairs { close = "closed", reset = "connection reset by peer", stall = "timeout" } do
      local red = connected(nil, kit.relay(peer.port, ending, 20))
      red:set_timeout(300)
      fails(why, red:get("binary"))
    end
  end },
  { "a server that is not there", function()
    local red = redis:new()
    fails("connection refused", red:connect("127.0.0.1", 1))
    fails("~could not be resolved", red:connect("nowhere.test", peer.port))
    assert(red:connect("home.test", peer.port))
    equal(red:ping(), "PONG")
    red:close()
  end },
  { "a restart between two uses of a pool", function()
    local red = connected()
    assert(red:set_keepalive(10000, 10))
    kit.ask "restart redis"
    red = connected()
    equal(red:get_reused_times(), 0)
    equal(red:ping(), "PONG")
    red:close()
  end },
}
