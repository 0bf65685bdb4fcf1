-- Asks the upstream over a socket of its own, which is kept, and leaves a timer behind.
local socket = ngx.socket.tcp()
socket:settimeouts(1000, 1000, 1000)
assert(socket:connect("127.0.0.1", @UP@))
assert(socket:send "GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n")
local head = assert(socket:receiveuntil "\r\n\r\n"())
local length = ngx.re.match(head, [[content-length:\s*(\d+)]], "ijo")
assert(socket:receive(tonumber(length[1])))
socket:setkeepalive(10000, 64)

ngx.timer.at(0.05, function(_, uri)
  ngx.shared.counts:incr("timers" .. uri, 1, 0, 60)
end, ngx.var.uri)
