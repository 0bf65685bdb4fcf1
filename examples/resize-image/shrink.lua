-- Pictures in the size that is asked for: ?w=320, ?h=200 or both. The script decides, the module works.
local imaging = gateway.wasm "imaging"

local filter = {}

local function side(text)
  local n = tonumber(text) or 0
  return n >= 1 and n <= 4096 and n == math.floor(n) and n or 0
end

function filter.request(req, ctx)
  local args = req:args()
  ctx.width, ctx.height = side(args.w), side(args.h)
  -- A part of a picture can't be resized.
  if ctx.width + ctx.height > 0 then req.headers["range"] = nil end
end

function filter.response(res, ctx)
  local kind = res.headers["content-type"]
  if ctx.width + ctx.height == 0 or res.status ~= 200 then return end
  if kind ~= "image/jpeg" and kind ~= "image/png" then return end
  local picture = res:body()
  local smaller, why = imaging.resize(picture, ctx.width, ctx.height)
  if not smaller then
    gateway.log.warn("not resized", { reason = why })
    return
  end
  res.headers["etag"], res.headers["accept-ranges"] = nil, nil
  res.headers["x-picture"] = imaging.describe(smaller)
  res:set_body(smaller)
end

return filter
