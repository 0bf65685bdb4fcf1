-- kong.tools.uuid
local random = require("kong.tools.rand").get_rand_bytes
local re_find = ngx.re.find
local type, byte, char, format, gsub = type, string.byte, string.char, string.format, string.gsub

local FORM = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

local uuid = {}

-- 16 bytes as a UUID of a version.
local function written(bytes, version)
  local fifth, ninth = byte(bytes, 7), byte(bytes, 9)
  bytes = bytes:sub(1, 6) .. char(fifth % 16 + version * 16) .. bytes:sub(8, 8)
    .. char(ninth % 64 + 128) .. bytes:sub(10, 16)
  local hex = gsub(bytes, ".", function(one) return (format("%02x", byte(one))) end)
  return hex:sub(1, 8) .. "-" .. hex:sub(9, 12) .. "-" .. hex:sub(13, 16) .. "-"
    .. hex:sub(17, 20) .. "-" .. hex:sub(21)
end

function uuid.uuid() return written(random(16), 4) end

-- The same for the same name, on every worker and after every reload.
function uuid.of_name(name) return written(ngx.sha1_bin("pilotlight:" .. name), 5) end

function uuid.is_valid_uuid(text)
  return type(text) == "string" and #text == 36 and re_find(text, FORM, "ioj") ~= nil
end

return uuid
