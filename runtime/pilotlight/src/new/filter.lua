-- NAME: greets whoever asks for /hello, and marks what passes. The phases of a filter are functions of
-- the table that its file returns: docs/guides/lua-filters.md.
local filter = {}

local greeting

-- Once in each VM. An error refuses the manifest.
function filter.init(config)
  greeting = config and config.greeting or "hello"
end

-- A table that is returned answers; without one the request goes on.
function filter.request(req, ctx)
  ctx.began = gateway.monotonic()
  if req.path == "/hello" then
    return { status = 200, headers = { ["content-type"] = "text/plain" }, body = greeting .. "\n" }
  end
  req.headers["x-greeting"] = greeting
end

function filter.response(res, ctx)
  res.headers["x-served-by"] = "NAME"
end

-- What is set here stands in the access log.
function filter.log(entry, ctx)
  entry.took = gateway.monotonic() - ctx.began
end

return filter
