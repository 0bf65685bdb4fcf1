-- `resty.openssl.x509`: certificates, read only.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local keys, bn = pl.part("lib/keys"), pl.part("lib/resty/openssl/bn")
local pkey, name = pl.part("lib/resty/openssl/pkey"), pl.part("lib/resty/openssl/x509/name")
local objects = pl.part("lib/resty/openssl/objects")
local type, setmetatable, getmetatable = type, setmetatable, debug.getmetatable

local module = {}
local meta = { __index = module }

function module.new(s, format)
  if type(s) ~= "string" then return nil, "x509.new: expect nil or a string at #1" end
  format = format or "*"
  if format ~= "PEM" and format ~= "DER" and format ~= "*" then
    return nil, 'x509.new: expect PEM, DER or * at #2'
  end
  local is_pem = keys.is_pem(s)
  local read = not (format == "PEM" and not is_pem or format == "DER" and is_pem)
    and slow.certificate(s)
  if not read then return nil, "x509.new: not a certificate" end
  return (setmetatable({ ctx = read }, meta))
end

function module.istype(value) return type(value) == "table" and getmetatable(value) == meta end
function module.dup(ctx) return (setmetatable({ ctx = ctx }, meta)) end

function module:tostring(format)
  if format == "DER" then return self.ctx.der end
  return slow.pem_write("CERTIFICATE", self.ctx.der)
end
meta.__tostring = module.tostring
function module:to_PEM() return self:tostring("PEM") end

function module:get_version() return self.ctx.version end
function module:get_not_before() return self.ctx.not_before end
function module:get_not_after() return self.ctx.not_after end
function module:get_lifetime() return self.ctx.not_before, self.ctx.not_after end
function module:get_serial_number() return bn.from_binary(self.ctx.serial) end
function module:get_subject_name() return name.of(self.ctx.subject) end
function module:get_issuer_name() return name.of(self.ctx.issuer) end
function module:get_pubkey() return pkey.new(self.ctx.key, { format = "DER" }) end
function module:get_signature_name() return self.ctx.signature end
function module:get_signature_digest_name() return self.ctx.digest end

local function digest(hash, s)
  -- OpenSSL knows digests by the names of signatures, too.
  hash = (hash or "sha1"):lower():gsub("^rsa%-", "")
  if C.digest(window, hash, #hash, s, #s) == 0 then
    return nil, 'x509:digest: invalid digest type "' .. hash .. '"'
  end
  return (text(window.ptr, window.len))
end
function module:digest(hash) return digest(hash, self.ctx.der) end
function module:pubkey_digest(hash) return digest(hash, self:get_pubkey().key.public) end

function module:check_private_key(key)
  if not pkey.istype(key) then
    return false, "x509:check_private_key: except a pkey instance at #1"
  end
  if not key:is_private() then return false, "not a private key" end
  local mine = self:get_pubkey()
  if mine and mine:to_PEM() == key:to_PEM("public") then return true end
  return false, "x509:check_private_key: key values mismatch"
end

-- Whether the key has signed it.
function module:verify(key)
  if not pkey.istype(key) then return false, "x509:verify: expect a pkey instance at #1" end
  return slow.certificate(self.ctx.der, key.key.kind, key.key.public).is_signed
end

local function extension(self, wanted)
  local object = objects.find(wanted) or { id = wanted }
  for index, found in ipairs(self.ctx.extensions) do
    if found.id == object.id then return found, index, object end
  end
end

-- As far as it goes without its own module: the identifier, and the DER that is in it.
function module:get_extension(wanted)
  local found, index, object = extension(self, wanted)
  if not found then return nil end
  return { id = found.id, nid = object.nid, critical = found.critical, der = found.value }, index
end

function module:get_extension_critical(wanted)
  local found = extension(self, wanted)
  if not found then return nil, "x509:get_extension_critical: no such extension" end
  return found.critical
end

-- A list of names `{ kind, value }`, which `each` and `pairs` walk; as `altname` has it.
local Names = { __index = {} }
function Names.__index.each(names)
  local index = 0
  return function()
    index = index + 1
    if names[index] then return names[index][1], names[index][2] end
  end
end
function Names.__index.all(names)
  local all = {}
  for kind, value in names:each() do all[kind] = value end
  return all
end
Names.__pairs = Names.__index.each

local function alternative(wanted)
  return function(self)
    local found = extension(self, wanted)
    if not found then return nil end
    local names = {}
    for index, pair in ipairs(found.names) do names[index] = pair end
    return (setmetatable(names, Names))
  end
end
module.get_subject_alt_name = alternative "subjectAltName"
module.get_issuer_alt_name = alternative "issuerAltName"

return module
