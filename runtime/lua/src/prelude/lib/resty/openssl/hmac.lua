-- `resty.openssl.hmac`.
local pl = ...
local module, meta = pl.part("lib/running")("hmac")
local begin_keyed = pl.part("lib/hash").begin_keyed
local setmetatable, tostring = setmetatable, tostring

function module.new(key, name)
  name = name or "sha1"
  local self = begin_keyed({ algo = name }, name, key)
  if not self then return nil, 'hmac.new: invalid digest type "' .. tostring(name) .. '"' end
  return (setmetatable(self, meta))
end

return module
