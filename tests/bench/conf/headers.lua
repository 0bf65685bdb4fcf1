-- Reads two headers and sets one: the filter that peers run too.
local filter = {}

function filter.request(req)
  local headers = req.headers
  headers["x-b"] = tostring(#(req.host or "") + #(headers["x-a"] or ""))
end

return filter
