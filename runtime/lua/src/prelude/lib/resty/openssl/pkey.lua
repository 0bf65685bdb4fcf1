-- `resty.openssl.pkey`: RSA, P-256, P-384 and Ed25519 keys, to sign and to verify with. What ring
-- does not do (RSA encryption, key agreement, P-521, making RSA keys) is refused.
local pl = ...
local slow, keys = pl.slow, pl.part("lib/keys")
local digests = pl.part("lib/resty/openssl/digest")
local objects = pl.part("lib/resty/openssl/objects")
local bn, token = pl.part("lib/resty/openssl/bn"), pl.part("token")
local type, setmetatable, tostring, getmetatable = type, setmetatable, tostring, debug.getmetatable

local PKCS1, PSS = 1, 6

local module = {
  PADDINGS = {
    RSA_PKCS1_PADDING = PKCS1, RSA_SSLV23_PADDING = 2, RSA_NO_PADDING = 3,
    RSA_PKCS1_OAEP_PADDING = 4, RSA_X931_PADDING = 5, RSA_PKCS1_PSS_PADDING = PSS,
  },
}
local meta = { __index = module }

-- OpenSSL's numbers of the kinds, and the digest that each takes when none is said.
local NIDS = { RSA = 6, ["P-256"] = 408, ["P-384"] = 408, Ed25519 = 1087 }
local BITS = { ["P-256"] = 415, ["P-384"] = 715 }
local SIZES = { ["P-256"] = 72, ["P-384"] = 104, Ed25519 = 64 }

-- `ctx` is what the key was made from, where that was a pointer: libraries look after it.
local function wrap(key, ctx)
  return (setmetatable({ ctx = ctx or key, key = key, key_type = NIDS[key.kind] }, meta))
end

local function load(s, options)
  local format, kind = options.format or "*", options.type or "*"
  if format ~= "PEM" and format ~= "DER" and format ~= "JWK" and format ~= "*" then
    return nil, "expecting 'DER', 'PEM', 'JWK' or '*' as \"format\""
  end
  if kind ~= "pu" and kind ~= "pr" and kind ~= "*" then
    return nil, "expecting 'pr', 'pu' or '*' as \"type\""
  end
  local key, why
  if format == "JWK" or (format == "*" and s:find("^%s*{")) then
    local jwk, wrong = slow.json_decode(s)
    if type(jwk) ~= "table" then
      return nil, "jwk:load_jwk: error decoding JSON from JWK: " .. (wrong or "not an object")
    end
    key, why = keys.of_jwk(jwk)
    if not key then return nil, "jwk:load_jwk: " .. why end
  elseif format == "PEM" and not keys.is_pem(s) or format == "DER" and keys.is_pem(s) then
    return nil, "not a " .. format .. " text"
  else
    key, why = keys.read(s)
  end
  if not key then return nil, why end
  if kind == "pr" and not key.private then return nil, "not a private key" end
  if kind == "pu" then key.private = nil end
  return key
end

-- Members of `params` are numbers, or strings for Ed25519.
local function compose(config)
  local params, n = config.params, {}
  local kind = config.type or "RSA"
  local names = kind == "RSA" and { "n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp" }
    or { "x", "y", "private" }
  if kind == "EC" then kind = params.group == BITS["P-384"] and "P-384" or "P-256" end
  if kind == "Ed25519" then names[1] = "public" end
  for index = 1, #names do
    local value = params[names[index]]
    n[index] = bn.istype(value) and value.ctx or value
  end
  local made, public, private =
    slow.key_make(kind, n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8])
  if not made then return nil, public end
  return { kind = made, public = public, private = private }
end

function module.new(s, options)
  local key, why
  if type(s) == "string" then
    key, why = load(s, options or {})
    if not key then return nil, "pkey.new:load_key: " .. why end
  elseif type(s) == "table" and s.params then
    key, why = compose(s)
    if not key then return nil, "pkey.new:new_key: " .. why end
  elseif type(s) == "cdata" then
    local der = slow.tls_der(token.number_at(s))
    if not der then return nil, "pkey.new: expect a key of ngx.ssl's at #1" end
    key, why = keys.read(der)
    if not key then return nil, "pkey.new:load_key: " .. why end
    return wrap(key, s)
  elseif s == nil or type(s) == "table" then
    return nil, "pkey.new:new_key: making keys is not supported"
  else
    return nil, "pkey.new: unexpected type " .. type(s) .. " at #1"
  end
  return wrap(key)
end

function module.istype(value) return type(value) == "table" and getmetatable(value) == meta end
function module.get_provider_name() return "pilotlight" end

function module:get_key_type(nid_only)
  return nid_only and self.key_type or objects.nid2table(self.key_type)
end

function module:get_size()
  local key = self.key
  return SIZES[key.kind] or #slow.key_numbers(key.kind, key.public)[1]
end

function module:is_private() return self.key.private ~= nil end

function module:get_parameters()
  local key = self.key
  local numbers = slow.key_numbers(key.kind, key.public, key.private)
  local function number(index) return numbers[index] and bn.from_binary(numbers[index]) end
  if key.kind == "RSA" then
    return {
      n = number(1), e = number(2), d = number(3), p = number(4), q = number(5),
      dmp1 = number(6), dmq1 = number(7), iqmp = number(8),
    }
  elseif key.kind == "Ed25519" then
    return { public = key.public, private = key.private }
  end
  return {
    group = BITS[key.kind], x = number(1), y = number(2), public = bn.from_binary(key.public),
    private = key.private and bn.from_binary(key.private),
  }
end

-- How a signature is made: the scheme, the digest (nil for Ed25519), and what is signed.
local function way(self, s, digest, padding)
  local kind = self.key.kind
  if type(s) ~= "string" then return nil, "expect a digest instance or a string" end
  if kind == "Ed25519" then return "plain", nil, s end
  digest = digest or "sha256"
  if kind ~= "RSA" then return "plain", digest, s end
  if padding == nil or padding == PKCS1 then return "legacy", digest, s end
  if padding == PSS then return "pss", digest, s end
  return nil, "invalid padding: " .. tostring(padding)
end

function module:sign(s, digest, padding, options)
  local key = self.key
  if not key.private then return nil, "pkey:sign: missing private key" end
  if digests.istype(s) then s, digest = s:signed(), s.algo end
  local scheme, hash, message = way(self, s, digest, padding)
  if not scheme then return nil, "pkey:sign: " .. hash end
  local made, why =
    slow.key_sign(key.kind, key.public, key.private, scheme, hash, message)
  if made and options and options.ecdsa_use_raw and BITS[key.kind] then
    made, why = slow.ecdsa_raw(key.kind, made)
  end
  if not made then return nil, "pkey:sign: " .. why end
  return made
end

function module:verify(signature, s, digest, padding, options)
  if type(signature) ~= "string" then return nil, "pkey:verify: expect a string at #1" end
  local key = self.key
  if options and options.ecdsa_use_raw and BITS[key.kind] then
    local der, why = slow.ecdsa_der(key.kind, signature)
    if not der then return nil, "pkey:sign: ecdsa.sig_raw2der: " .. why end
    signature = der
  end
  if digests.istype(s) then s, digest = s:signed(), s.algo end
  local scheme, hash, message = way(self, s, digest, padding)
  if not scheme then return nil, "pkey:verify: " .. hash end
  local is_right, why =
    slow.key_verify(key.kind, key.public, nil, scheme, hash, message, signature)
  if is_right then return true end
  return false, "pkey:verify: " .. (why or "the signature is wrong")
end

local function unsupported(name)
  return function() return nil, "pkey:" .. name .. ": not supported" end
end
for _, name in ipairs {
  "encrypt", "decrypt", "sign_raw", "verify_raw", "verify_recover", "derive", "set_parameters",
  "encapsulate", "decapsulate", "paramgen",
} do
  module[name] = unsupported(name)
end

function module:tostring(which, format, pkcs1)
  local is_private = which == "private" or which == "PrivateKey"
  if not is_private and which and which ~= "public" and which ~= "PublicKey" then
    return nil, "pkey:tostring: can only export private or public key, not " .. tostring(which)
  end
  local key = self.key
  if pkcs1 then
    return nil, "writing out RSA key in PKCS#1 format is not supported in OpenSSL 3.0"
  end
  if is_private and not key.private then return nil, "pkey:tostring: not a private key" end
  if format == "JWK" then return slow.json_encode(keys.to_jwk(key, is_private)) end
  local der = slow.key_der(key.kind, key.public, key.private, is_private)
  if format == "DER" then return der end
  return slow.pem_write(is_private and "PRIVATE KEY" or "PUBLIC KEY", der)
end
meta.__tostring = function(self) return self:tostring("public", "PEM") end

function module:to_PEM(which, pkcs1) return self:tostring(which, "PEM", pkcs1) end

return module
