-- gateway.jwt: JSON Web Tokens (RFC 7519), signed ones.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local jws = pl.part("gateway/jws")
local type, error, pairs, find, sub = type, error, pairs, string.find, string.sub

-- As READERS in calls/encode.rs.
local URL = 2
-- Bytes of a token.
local TOKEN_MAX = 65536
-- Heads of tokens that are remembered: most tokens begin alike.
local HEADS_MAX = 64

local heads, count = {}, 0

local function decode(part)
  if find(part, "=", 1, true) or C.base64_read(window, part, #part, URL) == 0 then return nil end
  return (text(window.ptr, window.len))
end

local function object(part)
  local json = decode(part)
  local value = json and slow.json_decode(json)
  return type(value) == "table" and value or nil
end

-- A head with a table in it is not: scripts get copies, of the head only.
local function head_of(part)
  local known = heads[part]
  if known then return known end
  local head = object(part)
  if not head or type(head.alg) ~= "string" then return nil end
  for _, value in pairs(head) do
    if type(value) == "table" then return head end
  end
  if count >= HEADS_MAX then heads, count = {}, 0 end
  heads[part], count = head, count + 1
  return head
end

local function copy(head)
  local to = {}
  for name, value in pairs(head) do to[name] = value end
  return to
end

-- The parts of a token: its head, what is signed, its claims, its signature.
local function split(token)
  if type(token) ~= "string" or #token > TOKEN_MAX then return nil end
  local first = find(token, ".", 1, true)
  local second = first and find(token, ".", first + 1, true)
  if not second or find(token, ".", second + 1, true) then return nil end
  local head = head_of(sub(token, 1, first - 1))
  local signature = decode(sub(token, second + 1))
  if not head or not signature then return nil end
  return head, sub(token, 1, second - 1), sub(token, first + 1, second - 1), signature
end

-- Of a set of keys (JWKS) the one that the head names, else the only one.
local function pick(key, head)
  if type(key) ~= "table" or type(key.keys) ~= "table" then return key end
  local list = key.keys
  if head.kid == nil then
    if #list == 1 then return list[1] end
    return nil, "the token names no key"
  end
  for index = 1, #list do
    if list[index].kid == head.kid then return list[index] end
  end
  return nil, "unknown key"
end

local function has(list, value)
  if type(list) ~= "table" then return list == value end
  for index = 1, #list do
    if list[index] == value then return true end
  end
  return false
end

-- Whether one of a token's audiences is one that is wanted.
local function for_us(wanted, aud)
  if type(aud) ~= "table" then return aud ~= nil and has(wanted, aud) end
  for index = 1, #aud do
    if has(wanted, aud[index]) then return true end
  end
  return false
end

-- Why claims are refused; nil when they are good.
local function wrong(claims, options)
  local now, leeway = options.now or pl.now(), options.leeway or 0
  local exp, nbf = claims.exp, claims.nbf
  if exp ~= nil and type(exp) ~= "number" then return '"exp" is not a number' end
  if nbf ~= nil and type(nbf) ~= "number" then return '"nbf" is not a number' end
  if exp and now >= exp + leeway then return "the token has expired" end
  if nbf and now < nbf - leeway then return "the token is not valid yet" end
  if options.issuer and (claims.iss == nil or not has(options.issuer, claims.iss)) then
    return "the issuer is another"
  end
  if options.audience and not for_us(options.audience, claims.aud) then
    return "the audience is another"
  end
  for _, name in pairs(options.require or {}) do
    if claims[name] == nil or claims[name] == pl.null then
      return 'the claim "' .. name .. '" is missing'
    end
  end
  return nil
end

local jwt = {}

-- The claims and the head of a token that the key has signed and whose claims are good; or nil and
-- why not. Options: algorithms, issuer, audience (one or a list of each), leeway, require, now.
function jwt.verify(token, key, options)
  options = options or {}
  if type(options) ~= "table" then error("jwt.verify takes a table of options", 2) end
  local head, signed, body, signature = split(token)
  if not head then return nil, "not a token" end
  if options.algorithms and not has(options.algorithms, head.alg) then
    return nil, 'the algorithm "' .. head.alg .. '" is not allowed'
  end
  -- Extensions that must be understood: none is.
  if head.crit ~= nil then return nil, "the token has critical extensions" end
  local why
  key, why = pick(key, head)
  if not key then return nil, why end
  if type(key) == "table" and key.alg and key.alg ~= head.alg then
    return nil, "the key is for another algorithm"
  end
  local is_right
  is_right, why = jws.verify(head.alg, key, signed, signature)
  if not is_right then return nil, why or "the signature is wrong" end
  local claims = object(body)
  if not claims then return nil, "not a token" end
  why = wrong(claims, options)
  if why then return nil, why end
  return claims, copy(head)
end

-- Claims and head without any check.
function jwt.decode(token)
  local head, _, body = split(token)
  local claims = head and object(body)
  if not claims then return nil, "not a token" end
  return claims, copy(head)
end

local function encode(s)
  C.base64_write(window, s, #s, 1, 0)
  return (text(window.ptr, window.len))
end

-- A token. Options: algorithm (HS256 when there is none), head (further members of it).
function jwt.sign(claims, key, options)
  options = options or {}
  if type(claims) ~= "table" then error("jwt.sign takes a table of claims", 2) end
  local head = { typ = "JWT" }
  for name, value in pairs(options.head or {}) do head[name] = value end
  head.alg = options.algorithm or "HS256"
  local parts = {}
  for index, value in ipairs { head, claims } do
    local json, why = slow.json_encode(value)
    if not json then return nil, why end
    parts[index] = encode(json)
  end
  local signed = parts[1] .. "." .. parts[2]
  local signature, why = jws.sign(head.alg, key, signed)
  if not signature then return nil, why end
  return signed .. "." .. encode(signature)
end

return jwt
