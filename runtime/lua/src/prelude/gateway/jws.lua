-- Signatures by the algorithms of JWS (RFC 7518), for gateway.crypto and gateway.jwt. A secret is for
-- HS256 and its kin only, a public key never: so nobody can sign with what everybody knows.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local keys = pl.part("lib/keys")
local type, setmetatable = type, setmetatable

local HASHES = { HS256 = "sha256", HS384 = "sha384", HS512 = "sha512" }
-- Texts whose keys are remembered.
local CACHE_MAX = 256

local cached, count = {}, 0
local of_tables = setmetatable({}, { __mode = "k" })

local jws = {}

-- The key that a script means: { kind, public, private }, or { secret }.
function jws.key(given)
  if type(given) == "table" then
    local known = of_tables[given]
    if known then return known end
    local key, why
    if given.kty == "oct" then
      local k = type(given.k) == "string" and given.k or ""
      if k == "" or C.base64_read(window, k, #k, 2) == 0 then return nil, "not a key" end
      key = { secret = text(window.ptr, window.len) }
    else
      key, why = keys.of_jwk(given)
    end
    if not key then return nil, why end
    of_tables[given] = key
    return key
  end
  if type(given) ~= "string" then return nil, "a key is a string or a JWK" end
  if not keys.is_pem(given) then return { secret = given } end
  local known = cached[given]
  if known then return known end
  local key, why = keys.read(given)
  if not key then return nil, why end
  if count >= CACHE_MAX then cached, count = {}, 0 end
  cached[given], count = key, count + 1
  return key
end

local function mac(hash, secret, s)
  C.hmac(window, hash, #hash, secret, #secret, s, #s)
  return (text(window.ptr, window.len))
end

function jws.verify(algorithm, given, s, signature)
  local key, why = jws.key(given)
  if not key then return nil, why end
  local hash = HASHES[algorithm]
  if not hash then
    return slow.jws_verify(algorithm, key.kind, key.public, nil, s, signature)
  end
  if not key.secret then return nil, "the key is of another kind than the algorithm" end
  local wanted = mac(hash, key.secret, s)
  return C.equal(window, wanted, #wanted, signature, #signature) == 4
end

function jws.sign(algorithm, given, s)
  local key, why = jws.key(given)
  if not key then return nil, why end
  local hash = HASHES[algorithm]
  if not hash then return slow.jws_sign(algorithm, key.kind, key.public, key.private, s) end
  if not key.secret then return nil, "the key is of another kind than the algorithm" end
  return mac(hash, key.secret, s)
end

return jws
