-- `resty.hmac` (lua-resty-hmac).
local pl = ...
local slow = pl.slow
local to_hex = pl.part("lib/resty/string").to_hex
local setmetatable = setmetatable

local module = {
  _VERSION = "0.06",
  ALGOS = {
    MD5 = "md5", SHA1 = "sha1", SHA224 = "sha224", SHA256 = "sha256", SHA384 = "sha384",
    SHA512 = "sha512",
  },
}
local meta = { __index = module }

function module.new(_, key, hash)
  local context = slow.hash_new(hash or "md5", key)
  if not context then return nil end
  return (setmetatable({ _ctx = context }, meta))
end

function module.update(self, s) return slow.hash_update(self._ctx, s) == true end

function module.final(self, s, hex_output)
  if s ~= nil and not slow.hash_update(self._ctx, s) then return nil end
  local digest = slow.hash_final(self._ctx)
  if digest and hex_output == true then return to_hex(digest) end
  return digest
end

function module.reset(self) return slow.hash_reset(self._ctx) == true end

return module
