-- Keys of signatures: { kind, public, private }, as calls/key.rs takes them.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local type, tostring, find = type, tostring, string.find

-- As READERS in calls/encode.rs.
local URL = 2

local keys = {}

local function made(kind, public, private)
  if not kind then return nil, public end
  return { kind = kind, public = public, private = private }
end

-- Of PEM or DER; a certificate's is the key in it.
function keys.read(s) return made(slow.key_read(s)) end

-- The kinds of keys by `kty` and `crv`, and which members make them.
local RSA = { "n", "e", "d", "p", "q", "dp", "dq", "qi" }
local POINT, OCTETS = { "x", "y", "d" }, { "x", "", "d" }
local CURVES = {
  EC = { ["P-256"] = { "P-256", POINT }, ["P-384"] = { "P-384", POINT } },
  OKP = { Ed25519 = { "Ed25519", OCTETS } },
}

local function form(jwk)
  if jwk.kty == "RSA" then return "RSA", RSA end
  local row = CURVES[jwk.kty] and CURVES[jwk.kty][jwk.crv]
  if row then return row[1], row[2] end
  return nil, "keys of the kind " .. tostring(jwk.kty) .. " " .. tostring(jwk.crv or "")
    .. " are not supported"
end

-- Of a JWK (RFC 7517), decoded.
function keys.of_jwk(jwk)
  local kind, members = form(jwk)
  if not kind then return nil, members end
  local n = {}
  for index = 1, #members do
    local value = jwk[members[index]]
    if value ~= nil then
      if type(value) ~= "string" or C.base64_read(window, value, #value, URL) == 0 then
        return nil, 'cannot decode parameter "' .. members[index] .. '"'
      end
      n[index] = text(window.ptr, window.len)
    end
  end
  return made(slow.key_make(kind, n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8]))
end

local function encoded(s)
  C.base64_write(window, s, #s, 1, 0)
  return (text(window.ptr, window.len))
end

-- The way back.
function keys.to_jwk(key, is_private)
  local kind = key.kind
  local numbers = slow.key_numbers(kind, key.public, key.private)
  local jwk
  if kind == "RSA" then
    jwk = { kty = "RSA" }
    for index = 1, is_private and #RSA or 2 do jwk[RSA[index]] = encoded(numbers[index]) end
    return jwk
  end
  jwk = { kty = kind == "Ed25519" and "OKP" or "EC", crv = kind, x = encoded(numbers[1]) }
  if jwk.kty == "EC" then jwk.y = encoded(numbers[2]) end
  if is_private then jwk.d = encoded(key.private) end
  return jwk
end

function keys.is_pem(s) return find(s, "-----BEGIN", 1, true) ~= nil end

return keys
