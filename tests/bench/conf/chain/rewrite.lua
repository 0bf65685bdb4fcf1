-- Rewrites headers by expressions.
return function()
  local headers = ngx.req.get_headers()
  local agent = ngx.re.gsub(headers["x-a"] or "", [[([a-c]+)([d-f]+)]], "$2-$1", "jo")
  ngx.req.set_header("x-a", agent)
  local place = ngx.re.sub(ngx.var.uri, [[^/(\w+)/(.*)$]], "/v2/$2?from=$1", "jo")
  ngx.req.set_header("x-original", place)
  if ngx.re.find(headers["user-agent"] or "", [[\b(?:bot|crawler|spider)\b]], "ijo") then
    ngx.req.set_header("x-bot", "1")
  end
end
