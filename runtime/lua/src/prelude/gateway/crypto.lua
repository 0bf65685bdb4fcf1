-- gateway.crypto: digests, message authentication, signatures.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local type, error, tostring = type, error, tostring

local function want(value, kind, name)
  if type(value) ~= kind then
    error("crypto." .. name .. " takes a " .. kind .. ", not a " .. type(value), 3)
  end
end

local function no_hash(hash) error("there is no hash \"" .. tostring(hash) .. '"', 3) end

local crypto = {}

-- Bytes; `gateway.hex` and `gateway.base64` make text of them.
function crypto.digest(hash, s)
  want(hash, "string", "digest")
  want(s, "string", "digest")
  if C.digest(window, hash, #hash, s, #s) == 0 then no_hash(hash) end
  return (text(window.ptr, window.len))
end

function crypto.hmac(hash, key, s)
  want(hash, "string", "hmac")
  want(key, "string", "hmac")
  want(s, "string", "hmac")
  if C.hmac(window, hash, #hash, key, #key, s, #s) == 0 then no_hash(hash) end
  return (text(window.ptr, window.len))
end

function crypto.random(length)
  want(length, "number", "random")
  if C.random(window, length) == 0 then error("crypto.random: out of range", 2) end
  return (text(window.ptr, window.len))
end

-- In a time that does not tell where they differ.
function crypto.equal(a, b)
  want(a, "string", "equal")
  want(b, "string", "equal")
  return C.equal(window, a, #a, b, #b) == 4
end

-- Whether a signature is right, by an algorithm of JWS: HS256, RS256, PS256, ES256, EdDSA, ...
-- The key is a secret, or a PEM text or JWK. nil and why, when that can't be said.
function crypto.verify(algorithm, key, s, signature)
  want(algorithm, "string", "verify")
  want(s, "string", "verify")
  want(signature, "string", "verify")
  return pl.part("gateway/jws").verify(algorithm, key, s, signature)
end

return crypto
