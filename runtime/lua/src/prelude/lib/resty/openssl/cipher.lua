-- `resty.openssl.cipher`: AES. What `update` is given comes out of `final`.
local pl = ...
local slow = pl.slow
local type, select, setmetatable, tonumber, tostring = type, select, setmetatable, tonumber, tostring
local concat, getmetatable = table.concat, debug.getmetatable

local module = {}
local meta = { __index = module }

function module.new(name)
  if not name then return nil, "cipher.new: expect type to be defined" end
  local size, mode = tostring(name):lower():match("^aes%-?(%d+)%-(%w+)$")
  if not size then size, mode = tostring(name):lower():match("^id%-aes(%d+)%-(%w+)$") end
  size = tonumber(size)
  local block, iv
  if size == 128 or size == 192 or size == 256 then block, iv = slow.cipher_mode(mode) end
  if not block then return nil, 'cipher.new: invalid cipher type "' .. tostring(name) .. '"' end
  return (setmetatable({
    ctx = mode, algo = name, initialized = false, block_size = block, key_size = size / 8,
    iv_size = iv,
  }, meta))
end

function module.istype(value) return type(value) == "table" and getmetatable(value) == meta end
function module.set_buffer_size() return true end
function module.get_provider_name() return "pilotlight" end

function module:init(key, iv, options)
  options = options or {}
  if not key or #key ~= self.key_size then
    return false, "cipher:init: incorrect key size, expect " .. self.key_size
  end
  if self.iv_size > 0 and (not iv or #iv ~= self.iv_size) then
    return false, "cipher:init: incorrect iv size, expect " .. self.iv_size
  end
  self.key, self.iv = key, self.iv_size > 0 and iv or ""
  self.is_encrypt, self.padding = options.is_encrypt, not options.no_padding
  self.parts, self.aad, self.tag, self.initialized = {}, {}, nil, true
  return true
end

local function ready(self, name)
  if self.initialized then return true end
  return nil, "cipher:" .. name .. ": cipher not initalized, call cipher:init first"
end

function module:update(...)
  local ok, why = ready(self, "update")
  if not ok then return nil, why end
  for index = 1, select("#", ...) do self.parts[#self.parts + 1] = (select(index, ...)) end
  return ""
end

function module:final(s)
  local ok, why = ready(self, "update")
  if not ok then return nil, why end
  if s then self.parts[#self.parts + 1] = s end
  local run = self.is_encrypt and slow.encrypt or slow.decrypt
  local made, tag = run(self.ctx, self.key, self.iv, concat(self.parts), self.padding,
    concat(self.aad), self.tag)
  self.parts = {}
  if not made then return nil, "cipher:final: EVP_CipherFinal_ex: " .. tag end
  if self.is_encrypt then self.tag = tag end
  return made
end

function module:encrypt(key, iv, s, no_padding, aad)
  local ok, why = self:init(key, iv, { is_encrypt = true, no_padding = no_padding })
  if not ok then return nil, why end
  if aad then self:update_aead_aad(aad) end
  return self:final(s)
end

function module:decrypt(key, iv, s, no_padding, aad, tag)
  local ok, why = self:init(key, iv, { is_encrypt = false, no_padding = no_padding })
  if not ok then return nil, why end
  if aad then self:update_aead_aad(aad) end
  if tag then
    ok, why = self:set_aead_tag(tag)
    if not ok then return nil, why end
  end
  return self:final(s)
end

function module:update_aead_aad(aad)
  local ok, why = ready(self, "update_aead_aad")
  if not ok then return nil, why end
  self.aad[#self.aad + 1] = aad
  return true
end

function module:get_aead_tag(size)
  local ok, why = ready(self, "get_aead_tag")
  if not ok then return nil, why end
  size = size or self.key_size / 2
  if size > self.key_size or size > 16 then return nil, "tag size " .. size .. " is too large" end
  if self.ctx ~= "gcm" or not self.tag then return nil, "cipher:get_aead_tag: no tag" end
  return self.tag:sub(1, size)
end

function module:set_aead_tag(tag)
  local ok, why = ready(self, "set_aead_tag")
  if not ok then return nil, why end
  if type(tag) ~= "string" then return false, "cipher:set_aead_tag expect a string at #1" end
  self.tag = tag
  return true
end

-- EVP_BytesToKey: a key and an IV of a password.
function module:derive(key, salt, count, md)
  if type(key) ~= "string" then return nil, nil, "cipher:derive: expect a string at #1" end
  if salt and type(salt) ~= "string" then
    return nil, nil, "cipher:derive: expect a string at #2"
  end
  count = tonumber(count or 1)
  if not count then return nil, nil, "cipher:derive: expect a number at #3" end
  -- The salt has eight bytes.
  salt = salt and (salt .. ("\0"):rep(8)):sub(1, 8) or ""
  local made, iv = slow.bytes_to_key(md or "sha1", salt, key, count, self.key_size)
  if not made then
    return nil, nil, 'cipher:derive: invalid digest type "' .. tostring(md) .. '"'
  end
  return made, iv:sub(1, self.iv_size)
end

return module
