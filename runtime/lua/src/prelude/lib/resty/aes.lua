-- `resty.aes`.
local pl = ...
local slow = pl.slow
local type, error, setmetatable = type, error, setmetatable

local module = { _VERSION = "0.17" }
local meta = { __index = module }

module.hash = {
  md5 = "md5", sha1 = "sha1", sha224 = "sha224", sha256 = "sha256", sha384 = "sha384",
  sha512 = "sha512",
}

local SIZES = { [128] = true, [192] = true, [256] = true }

function module.cipher(size, mode)
  size, mode = size or 128, mode or "cbc"
  if not SIZES[size] or mode == "wrap" or not slow.cipher_mode(mode) then return nil end
  return { size = size, cipher = mode, method = mode }
end

-- The key and the IV: of a password, or as they are given.
local function derive(key, salt, cipher, hash, rounds)
  local length = cipher.size / 8
  if type(hash) ~= "table" then
    if salt and #salt ~= 8 then return nil, "salt must be 8 characters or nil" end
    local made, iv = slow.bytes_to_key(hash, salt or "", key, rounds, length)
    if not made then return nil, "failed to generate key and iv" end
    local _, wanted = slow.cipher_mode(cipher.method)
    return made, iv:sub(1, wanted)
  end
  if not hash.iv then return nil, "iv is needed" end
  if #hash.iv > length then return nil, "bad iv length" end
  if hash.method then key = hash.method(key) end
  if #key ~= length then return nil, "bad key length" end
  return key, hash.iv
end

function module.new(_, key, salt, cipher, hash, rounds, iv_len, enable_padding)
  cipher, hash = cipher or module.cipher(), hash or module.hash.md5
  local made, iv = derive(key, salt, cipher, hash, rounds or 1)
  if not made then return nil, iv end
  local _, wanted = slow.cipher_mode(cipher.method)
  if cipher.cipher == "gcm" then
    wanted = type(hash) == "table" and #iv or iv_len or cipher.size / 8
  end
  -- OpenSSL's library reads a buffer of zeros, as far as nothing else was written to it.
  iv = (iv .. ("\0"):rep(wanted)):sub(1, wanted)
  return (setmetatable({
    _cipher = cipher.cipher, _key = made, _iv = iv,
    _padding = enable_padding == nil or enable_padding == true,
  }, meta))
end

local function check(self)
  if type(self) ~= "table" then
    error("bad argument #1 self: table expected, got " .. type(self), 3)
  end
end

function module.encrypt(self, s, aad)
  check(self)
  local made, tag = slow.encrypt(self._cipher, self._key, self._iv, s, self._padding, aad)
  if not made then return nil, "EVP_EncryptFinal_ex failed" end
  if self._cipher == "gcm" then return { made, tag } end
  return made
end

function module.decrypt(self, s, tag, aad)
  check(self)
  local made = slow.decrypt(self._cipher, self._key, self._iv, s, self._padding, aad, tag)
  if not made then return nil, "EVP_DecryptFinal_ex failed" end
  return made
end

return module
