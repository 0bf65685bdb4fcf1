-- What src/filter.c does in Wasm: scans, hashes or merely holds the body, by the path.
local scan = require "scan"
local work = { scan = scan.scan_plain, sha = scan.sha, buf = function() return "-" end }
local filter = {}

function filter.response(res)
  local transform = work[res.request.path:match("^/(%a+)/")]
  if not transform then return end
  local body = res:body()
  res:set_body(body .. transform(body))
end

return filter
