-- `resty.openssl.hmac`.
local pl = ...
local module, meta = pl.part("lib/running")("hmac")
local setmetatable, tostring = setmetatable, tostring

function module.new(key, name)
  local context = pl.slow.hash_new(name or "sha1", key)
  if not context then
    return nil, 'hmac.new: invalid digest type "' .. tostring(name) .. '"'
  end
  return (setmetatable({ ctx = context, algo = name or "sha1" }, meta))
end

return module
