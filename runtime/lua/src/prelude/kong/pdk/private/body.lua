-- Bodies by their media types: forms, JSON, multipart. Requests' and responses' alike.
local json = require "kong.tools.cjson"
local multipart = require "multipart"
local types = require("kong.tools.http").CONTENT_TYPES

local type, error, lower = type, error, string.lower

local POST, JSON, FORM = types.CONTENT_TYPE_POST, types.CONTENT_TYPE_JSON, types.CONTENT_TYPE_FORM_DATA

local body = {}

function body.check_max(name, value, least, most)
  if value == nil then return end
  if type(value) ~= "number" then error(name .. " must be a number", 3) end
  if value < least then error(name .. " must be >= " .. least, 3) end
  if value > most then error(name .. " must be <= " .. most, 3) end
end

local function decode_json(raw)
  local value = json.decode_with_array_mt(raw)
  if type(value) ~= "table" then return nil, "invalid json body" end
  return value
end

local function decode_multipart(raw, content_type)
  local parts = multipart(raw, content_type)
  if not parts then return nil, "unable to decode multipart body" end
  return parts:get_all_with_arrays()
end

-- The value, an error, the media type. `raw` answers the text, `form` decodes a form.
function body.decode(content_type, raw, form)
  if not content_type then return nil, "missing content type" end
  local media = lower(content_type):match("^[^;]*")
  if media:find(POST, 1, true) == 1 then
    local value, why = form()
    return value, value == nil and why or nil, POST
  end
  local kind = media:find(JSON, 1, true) == 1 and JSON or media:find(FORM, 1, true) == 1 and FORM
  if not kind then return nil, "unsupported content type '" .. content_type .. "'", media end
  local text, why = raw()
  if not text then return nil, why, kind end
  local value
  if kind == JSON then
    value, why = decode_json(text)
  else
    value, why = decode_multipart(text, content_type)
  end
  return value, why, kind
end

return body
