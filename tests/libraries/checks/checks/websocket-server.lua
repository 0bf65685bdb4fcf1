local kit = require "kit"
local equal, peers = kit.equal, kit.peers
local server = kit.lib("websocket-server", "websocket.server")
local client, echoed = kit.lib("websocket-server", "websocket.client"), require "echoed"

-- What the script of a client that was lost has seen.
local lost

local function serve()
  local ws = assert(server:new({ timeout = 5000, max_payload_len = 1048576 }))
  assert(ws:send_text("welcome"))
  local whole = ""
  while true do
    local data, kind, why = ws:recv_frame()
    if not data then
      lost = tostring(why)
      return
    elseif kind == "close" then
      equal({ why, data }, { 1000, "enough" })
      assert(ws:send_close(1000, "bye"))
      return
    elseif kind == "ping" then
      assert(ws:send_pong(data))
    elseif kind == "binary" then
      assert(ws:send_binary(data))
    elseif kind == "text" or kind == "continuation" then
      whole = whole .. data
      if why ~= "again" then
        assert(ws:send_text(whole))
        whole = ""
      end
    end
  end
end

return {
  { "a server", client = "echo", silent = true, serve },
  { "client and server", function() echoed(client, "ws://127.0.0.1:" .. peers.gateway.port .. "/websocket-server/1") end },
  { "client and server by TLS", function()
    echoed(client, "wss://localhost:" .. peers.gateway.tls .. "/websocket-server/1", { ssl_verify = true })
  end },
  { "a client that is lost in a frame", client = "lost", silent = true, function()
    if ngx.var.http_upgrade then return serve() end
    kit.till("what the script saw", function() return lost end)
    equal(lost:find("closed") ~= nil, true, lost)
    ngx.print("ok")
  end },
}
