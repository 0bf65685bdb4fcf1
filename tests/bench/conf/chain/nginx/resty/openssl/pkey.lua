-- For nginx: lua-resty-openssl's ECDSA check, as far as the bench needs it, straight on libcrypto.
local ffi = require "ffi"
ffi.cdef [[
const void *EVP_get_digestbyname(const char *name);
void *BIO_new_mem_buf(const void *data, int length);
void *PEM_read_bio_PUBKEY(void *bio, void **key, void *ask, void *with);
void *EVP_MD_CTX_new(void);
int EVP_MD_CTX_reset(void *context);
int EVP_DigestVerifyInit(void *context, void **pkey, const void *digest, void *engine, void *key);
int EVP_DigestVerify(void *context, const char *signature, size_t length, const char *data,
  size_t size);
]]
local C = ffi.C
local context, digest = C.EVP_MD_CTX_new(), C.EVP_get_digestbyname "sha256"
local meta = {}
meta.__index = meta

function meta.new(text)
  local key = C.PEM_read_bio_PUBKEY(C.BIO_new_mem_buf(text, #text), nil, nil, nil)
  return key ~= nil and setmetatable({ key = key }, meta) or nil
end

-- A number of 32 bytes as DER writes it.
local function integer(bytes)
  bytes = bytes:gsub("^%z+", "")
  if bytes:byte() >= 128 then bytes = "\0" .. bytes end
  return "\2" .. string.char(#bytes) .. bytes
end

function meta:verify(signature, data)
  local both = integer(signature:sub(1, 32)) .. integer(signature:sub(33))
  local der = "\48" .. string.char(#both) .. both
  C.EVP_MD_CTX_reset(context)
  C.EVP_DigestVerifyInit(context, nil, digest, nil, self.key)
  return C.EVP_DigestVerify(context, der, #der, data, #data) == 1
end

return meta
