-- All that a WebSocket client does, against a server that echoes.
local kit = require "kit"
local equal = kit.equal

return function(client, uri, options)
  local ws = assert(client:new({ timeout = 5000, max_payload_len = 1048576 }))
  assert(ws:connect(uri, options))
  equal({ ws:recv_frame() }, { "welcome", "text" })
  for _, size in ipairs { 0, 1, 125, 126, 65535, 65536, 300000 } do
    local text = ("x"):rep(size)
    assert(ws:send_text(text))
    local data, kind = ws:recv_frame()
    equal({ data == text, kind }, { true, "text" })
  end
  assert(ws:send_ping("there?"))
  equal({ ws:recv_frame() }, { "there?", "pong" })
  assert(ws:send_frame(false, 1, "one "))
  assert(ws:send_frame(true, 0, "two"))
  equal({ ws:recv_frame() }, { "one two", "text" })
  assert(ws:send_close(1000, "enough"))
  equal({ ws:recv_frame() }, { "bye", "close", 1000 })
  ws:close()
end
