-- `resty.openssl.mac`: HMAC is the only one.
local pl = ...
local module, meta = pl.part("lib/running")("mac")
local begin_keyed = pl.part("lib/hash").begin_keyed
local type, setmetatable, tostring = type, setmetatable, tostring

function module.new(key, kind, _, digest)
  if type(kind) ~= "string" or kind:upper() ~= "HMAC" then
    return nil, 'mac.new: invalid mac type "' .. tostring(kind) .. '"'
  end
  local self = begin_keyed({ algo = kind }, digest, key)
  if not self then return nil, "mac.new: invalid cipher or digest type" end
  return (setmetatable(self, meta))
end

return module
