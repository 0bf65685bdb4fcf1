-- Lets in whoever shows a key, and hands `?w=` on to the thumbnail filter.
local filter = {}

local keys, widest

function filter.init(config)
  keys = assert(config.keys, "keys is required: a table from key to whose it is")
  widest = config.widest or 4096
end

function filter.request(req, ctx)
  ctx.who = keys[req.headers["x-api-key"] or ""]
  if not ctx.who then
    return {
      status = 401,
      headers = { ["www-authenticate"] = "ApiKey", ["content-type"] = "text/plain" },
      body = "show a key: -H 'x-api-key: demo'\n",
    }
  end
  req.headers["x-api-key"] = nil             -- it is no business of whoever answers

  local w = req:args().w
  local width = tonumber(w)
  if w and not (width and width >= 1 and width <= widest and width % 1 == 0) then
    return { status = 400, headers = { ["content-type"] = "text/plain" },
             body = "w is a number of points from 1 to " .. widest .. "\n" }
  end
  req.headers["x-width"] = width             -- nil takes away what a client sent
end

function filter.log(entry, ctx)
  if ctx.who then entry.who = ctx.who end
end

return filter
