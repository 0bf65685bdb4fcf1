-- kong.pdk.private.rate_limiting: response headers that limiters keep until the response is there.
local type, error, pairs, tostring, format = type, error, pairs, tostring, string.format

local KEY = "__rate_limiting_context__"
local limits = {}

local function check(place, what, value, kinds, name, named)
  if kinds[type(value)] then return end
  error(format("arg #%d `%s` for function `%s` must be %s, got %s", place, what, name, named,
    type(value)), 3)
end

local text, text_or_number = { string = true }, { string = true, number = true }

function limits.store_response_header(ctx, key, value)
  check(2, "key", key, text, "store_response_header", "a string")
  check(3, "value", value, text_or_number, "store_response_header", "a string or a number")
  local kept = ctx[KEY]
  if not kept then
    kept = {}
    ctx[KEY] = kept
  end
  kept[key] = value
end

function limits.get_stored_response_header(ctx, key)
  check(2, "key", key, text, "get_stored_response_header", "a string")
  return ctx[KEY] and ctx[KEY][key]
end

function limits.apply_response_headers(ctx)
  for key, value in pairs(ctx[KEY] or {}) do ngx.header[key] = tostring(value) end
end

return limits
