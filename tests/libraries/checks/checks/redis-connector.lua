local kit = require "kit"
local equal = kit.equal
local connector = kit.lib("redis-connector", "redis.connector")
local peer = kit.peers.redis

return {
  { "by URL and by parameters", function()
    local red = assert(connector.new():connect({ url = "redis://127.0.0.1:" .. peer.port .. "/2" }))
    equal(red:set("x", 1), "OK")
    assert(connector.new():set_keepalive(red))
    local rc = connector.new({ host = "127.0.0.1", port = peer.port, db = 2, connect_timeout = 1000 })
    red = assert(rc:connect())
    equal(red:get("x"), "1")
    assert(rc:set_keepalive(red))
  end },
  { "disabled commands", function()
    local rc = connector.new({ host = "127.0.0.1", port = peer.port, disabled_commands = { "flushall" } })
    local red = assert(rc:connect())
    local got, why = red:flushall()
    equal({ got, why }, { nil, "Command flushall is disabled" })
    equal(red:ping(), "PONG")
    red:close()
  end },
  { "a server that is not there", function()
    local got, why = connector.new({ host = "127.0.0.1", port = 1, connect_timeout = 500 }):connect()
    equal({ got, why }, { nil, "connection refused" })
  end },
}
