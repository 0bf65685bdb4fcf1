-- `resty.hmac` (lua-resty-hmac).
local pl = ...
local hash = pl.part("lib/hash")
local to_hex = pl.part("lib/resty/string").to_hex
local begin_keyed, feed, ask = hash.begin_keyed, hash.feed, hash.ask
local setmetatable = setmetatable

local module = {
  _VERSION = "0.06",
  ALGOS = {
    MD5 = "md5", SHA1 = "sha1", SHA224 = "sha224", SHA256 = "sha256", SHA384 = "sha384",
    SHA512 = "sha512",
  },
}
local meta = { __index = module }

function module.new(_, key, name)
  local self = begin_keyed({}, name or "md5", key)
  return self and setmetatable(self, meta)
end

function module.update(self, s) return feed(self, s) == true end

function module.final(self, s, hex_output)
  local digest = ask(self, s)
  if digest and hex_output == true then return to_hex(digest) end
  return digest
end

module.reset = hash.reset

return module
