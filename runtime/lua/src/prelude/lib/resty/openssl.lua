-- `resty.openssl` (lua-resty-openssl): the modules that are here; nothing of it is OpenSSL's.
local pl = ...

local module = { _VERSION = "1.9.0" }

local MODULES = {
  "bn", "cipher", "digest", "hmac", "kdf", "mac", "objects", "pkey", "rand", "version", "x509",
}

function module.load_modules()
  for index = 1, #MODULES do
    module[MODULES[index]] = pl.part("lib/resty/openssl/" .. MODULES[index])
  end
  module.bignum = module.bn
  module.name = pl.part("lib/resty/openssl/x509/name")
end

function module.load_library() return "crypto" end
function module.get_fips_mode() return false end

function module.set_fips_mode(enable)
  if enable then return false, "FIPS is not supported" end
  return true
end

return module
