-- `resty.openssl.mac`: HMAC is the only one.
local pl = ...
local module, meta = pl.part("lib/running")("mac")
local type, setmetatable, tostring = type, setmetatable, tostring

function module.new(key, kind, _, digest)
  if type(kind) ~= "string" or kind:upper() ~= "HMAC" then
    return nil, 'mac.new: invalid mac type "' .. tostring(kind) .. '"'
  end
  local context = digest and pl.slow.hash_new(digest, key)
  if not context then return nil, "mac.new: invalid cipher or digest type" end
  return (setmetatable({ ctx = context, algo = kind }, meta))
end

return module
