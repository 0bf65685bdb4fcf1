-- `resty.evp`, which lua-resty-jwt brings along for OpenSSL: the same on our own keys. RSA encryption
-- is refused, and so are files of certificates to trust.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local keys = pl.part("lib/keys")
local setmetatable, format, byte = setmetatable, string.format, string.byte

local evp = {
  _VERSION = "0.2.4",
  CONST = {
    SHA1_DIGEST = "SHA1", SHA256_DIGEST = "SHA256", SHA384_DIGEST = "SHA384",
    SHA512_DIGEST = "SHA512", RSA_PKCS1_PADDING = 1, RSA_SSLV23_PADDING = 2, RSA_NO_PADDING = 3,
    RSA_PKCS1_OAEP_PADDING = 4, RSA_X931_PADDING = 5, RSA_PKCS1_PSS_PADDING = 6,
  },
}
local PSS = evp.CONST.RSA_PKCS1_PSS_PADDING

local function class()
  local methods = {}
  methods.__index = methods
  return methods
end

local function scheme(self) return self.padding == PSS and "pss" or "legacy" end

-- Signers, of a private key as PEM.
local function signer(is_right)
  local methods = class()
  function methods.new(_, pem, password, padding)
    if password then return nil, "encrypted keys are not supported" end
    local key, why = keys.read(pem)
    if not key then return nil, why end
    if not key.private or not is_right(key.kind) then return nil, "not a private key of this kind" end
    return (setmetatable({ evp_pkey = key, padding = padding }, methods))
  end
  function methods:sign(message, digest)
    local key = self.evp_pkey
    return slow.key_sign(key.kind, key.public, key.private, scheme(self), digest, message)
  end
  return methods
end

evp.RSASigner = signer(function(kind) return kind == "RSA" end)
evp.ECSigner = signer(function(kind) return kind == "P-256" or kind == "P-384" end)
function evp.ECSigner:get_raw_sig(signature)
  if not signature then return nil, "Must pass a signature to convert" end
  return slow.ecdsa_raw(self.evp_pkey.kind, signature)
end

-- Verifiers, of a certificate or a public key.
local function verifier()
  local methods = class()
  function methods.new(_, source, padding)
    if not source then return nil, "You must pass in an key_source for a public key" end
    return (setmetatable({ evp_pkey = source.public_key, padding = padding }, methods))
  end
  function methods:verify(message, signature, digest)
    local key = self.evp_pkey
    local is_right, why =
      slow.key_verify(key.kind, key.public, nil, scheme(self), digest, message, signature)
    if is_right then return true end
    return false, why or "Verification failed"
  end
  return methods
end

evp.RSAVerifier, evp.ECVerifier = verifier(), verifier()
local verify_der = evp.ECVerifier.verify
function evp.ECVerifier:get_der_sig(signature)
  if not signature then return nil, "Must pass a signature to convert" end
  local der = slow.ecdsa_der(self.evp_pkey.kind, signature)
  if not der then return nil, "signature length != 2 * order length" end
  return der
end
function evp.ECVerifier:verify(message, signature, digest)
  local der, why = self:get_der_sig(signature)
  if not der then return nil, why end
  return verify_der(self, message, der, digest)
end

evp.Cert = class()
function evp.Cert.new(_, payload)
  if not payload then return nil, "Must pass a PEM or binary DER cert" end
  local read = slow.certificate(payload)
  if not read then return nil, "not a certificate" end
  local key, why = keys.read(read.key)
  if not key then return nil, why end
  return (setmetatable({ x509 = read, public_key = key }, evp.Cert))
end
function evp.Cert:get_der() return self.x509.der end
function evp.Cert:get_public_key() return self.public_key end
function evp.Cert:get_fingerprint(digest)
  local der = self.x509.der
  if C.digest(window, digest, #digest, der, #der) == 0 then return nil, "unknown digest" end
  local hex = text(window.ptr, window.len):gsub(".", function(c)
    return (format(":%02X", byte(c)))
  end)
  return (hex:sub(2))
end
function evp.Cert.verify_trust()
  return false, "files of trusted certificates are not supported"
end

evp.PublicKey = class()
function evp.PublicKey.new(_, payload)
  if not payload then return nil, "Must pass a PEM or binary DER public key" end
  local key, why = keys.read(payload)
  if not key then return nil, why end
  return (setmetatable({ public_key = key }, evp.PublicKey))
end

local function refuse() return nil, "RSA encryption is not supported" end
evp.RSAEncryptor, evp.RSADecryptor = { new = refuse }, { new = refuse }

return evp
