-- Libraries that come with the gateway, because what they are made of elsewhere is C: a module's
-- name is the file's below `lib/`.
local pl = ...

local LIBRARIES = {
  "ngx.base64",
  "table.nkeys", "table.clone", "table.isempty", "table.isarray", "thread.exdata",
  "thread.exdata2", "string.buffer",
  "resty.string", "resty.random", "resty.md5", "resty.sha", "resty.sha1", "resty.sha224",
  "resty.sha256", "resty.sha384", "resty.sha512", "resty.aes", "resty.hmac", "resty.evp",
  "resty.openssl", "resty.openssl.bn", "resty.openssl.cipher", "resty.openssl.digest",
  "resty.openssl.err", "resty.openssl.hmac", "resty.openssl.kdf", "resty.openssl.mac",
  "resty.openssl.objects", "resty.openssl.pkey", "resty.openssl.rand", "resty.openssl.ssl",
  "resty.openssl.version", "resty.openssl.x509", "resty.openssl.x509.chain", "resty.openssl.x509.name",
  "resty.openssl.x509.store",
  "ffi-zlib",
}

return function(_, world)
  for index = 1, #LIBRARIES do
    local name = LIBRARIES[index]
    local file = "lib/" .. name:gsub("%.", "/")
    world.preload[name] = function() return pl.part(file) end
    -- Debian's packages of those that are all OpenSSL.
    local alone = name:match "^resty%.(%l+%d*)$"
    if alone then world.preload["nginx." .. alone] = world.preload[name] end
  end
end
