-- For nginx: lua-resty-openssl's HMAC, as far as the bench needs it, straight on libcrypto.
local ffi = require "ffi"
ffi.cdef [[
const void *EVP_get_digestbyname(const char *name);
unsigned char *HMAC(const void *evp, const void *key, int length, const char *data, size_t size,
  unsigned char *out, unsigned int *written);
]]
local out, written = ffi.new "unsigned char[64]", ffi.new "unsigned int[1]"
local meta = {}
meta.__index = meta

function meta.new(key, name)
  return setmetatable({ key = key, digest = ffi.C.EVP_get_digestbyname(name) }, meta)
end

function meta:final(data)
  ffi.C.HMAC(self.digest, self.key, #self.key, data, #data, out, written)
  return ffi.string(out, written[0])
end

return meta
