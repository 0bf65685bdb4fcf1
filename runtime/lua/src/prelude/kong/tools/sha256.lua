-- kong.tools.sha256
local Sha256 = require "resty.sha256"
local to_hex = require("resty.string").to_hex

local function sha256_bin(text)
  local digest = Sha256:new()
  digest:update(text)
  return digest:final()
end

local function written(encode)
  return function(text) return encode(sha256_bin(text)) end
end

return {
  sha256_bin = sha256_bin,
  sha256_hex = written(to_hex),
  sha256_base64 = written(ngx.encode_base64),
  sha256_base64url = written(require("ngx.base64").encode_base64url),
}
