-- Checks the bearer token, as gateways' scripts do: signature, issuer, audience, time.
local cjson = require "cjson.safe"
local base64 = require "ngx.base64"
local hmac = require "resty.openssl.hmac"
local pkey = require "resty.openssl.pkey"
local tokens = require "tokens"

local key = assert(pkey.new(tokens.public))
local module = {}

function module.hs256(signed, signature)
  return hmac.new(tokens.secret, "sha256"):final(signed) == signature
end

function module.es256(signed, signature)
  return key:verify(signature, signed, "sha256", nil, { ecdsa_use_raw = true })
end

local function refuse(why)
  ngx.status = 401
  ngx.header["www-authenticate"] = 'Bearer error="invalid_token"'
  ngx.say(cjson.encode { message = why })
  return ngx.exit(401)
end

function module.check(name, header, verify)
  local m = ngx.re.match(ngx.var[header] or "",
    [[^(?:Bearer )?(([\w-]+)\.([\w-]+))\.([\w-]+)$]], "jo")
  if not m then return refuse "no token" end
  local head = cjson.decode(base64.decode_base64url(m[2]))
  local claims = cjson.decode(base64.decode_base64url(m[3]))
  if not head or not claims or head.alg ~= name then return refuse "not a token" end
  if not verify(m[1], base64.decode_base64url(m[4])) then return refuse "wrong signature" end
  if claims.iss ~= "https://id.example" or claims.aud ~= "shop" then return refuse "not for us" end
  if claims.exp < ngx.time() then return refuse "too late" end
  ngx.req.set_header("x-user", claims.sub)
end

return module
