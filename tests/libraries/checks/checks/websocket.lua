local kit = require "kit"
local equal, fails, peers = kit.equal, kit.fails, kit.peers
local client, echoed = kit.lib("websocket", "websocket.client"), require "echoed"

return {
  { "a client", function() echoed(client, "ws://127.0.0.1:" .. peers.echo.port .. "/") end },
  { "a client by TLS", function()
    echoed(client, "wss://localhost:" .. peers.echos.port .. "/", { ssl_verify = true })
  end },
  { "servers that fail", function()
    local ws = assert(client:new({ timeout = 500 }))
    fails("~connection refused", ws:connect("ws://127.0.0.1:1/"))
    ws = assert(client:new({ timeout = 500 }))
    fails("~failed to receive response header: closed",
      ws:connect("ws://127.0.0.1:" .. kit.relay(peers.echo.port, "close", 20) .. "/"))
    ws = assert(client:new({ timeout = 200 }))
    assert(ws:connect("ws://127.0.0.1:" .. kit.relay(peers.echo.port, "stall", 135) .. "/"))
    local data, _, why = ws:recv_frame()
    equal({ data, why:find("timeout") ~= nil }, { nil, true })
  end },
}
