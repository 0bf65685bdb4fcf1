local kit = require "kit"
local equal = kit.equal
local jwt = kit.lib "jwt"
local validators = kit.lib("jwt", "jwt-validators")
local peers = kit.peers

local function round(algorithm, private, public, wrong)
  return function()
    local token = jwt:sign(private, { header = { typ = "JWT", alg = algorithm }, payload = { foo = "bar", n = 1 } })
    equal(select(2, token:gsub("%.", "")), 2)
    local found = jwt:verify(public, token)
    equal({ found.verified, found.valid, found.payload, found.header.alg },
      { true, true, { foo = "bar", n = 1 }, algorithm }, found.reason)
    found = jwt:verify(wrong, token)
    equal(found.verified, false)
    local other = token:sub(1, -10) .. (token:sub(-9, -9) == "A" and "B" or "A") .. token:sub(-8)
    equal(jwt:verify(public, other).verified, false)
  end
end

local secret = "a secret that is long enough for every one"
local rsa, ec = peers.public.rsa, peers.public.ec

return {
  { "HS256", round("HS256", secret, secret, "other") },
  { "HS512", round("HS512", secret, secret, "other") },
  { "RS256 by key", round("RS256", peers.keys.rsa, rsa, ec) },
  { "RS256 by certificate", round("RS256", peers.keys.rsa, peers.certificates.rsa, peers.certificates.ca) },
  { "RS512", round("RS512", peers.keys.rsa, rsa, ec) },
  { "ES256", round("ES256", peers.keys.ec, ec, rsa) },
  { "a token of others", function()
    -- RFC 7515, appendix A.1.
    local token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9l"
      .. "eGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    local key = kit.lib("jwt", "jwt"):jwt_decode(
      "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
    local found = jwt:load_jwt(token)
    equal(found.payload.iss, "joe")
    equal(jwt:verify_jwt_obj(key, found, { exp = validators.opt_is_not_expired() }).reason:find("expired") ~= nil, true)
    equal(jwt:verify_jwt_obj(key, jwt:load_jwt(token), { exp = validators.opt_equals(1300819380) }).verified, true)
  end },
  { "claims", function()
    -- Longer ago than the leeway that lua-resty-openidc sets for all.
    local now = ngx.time()
    local header = { typ = "JWT", alg = "HS256" }
    local token = jwt:sign(secret, { header = header, payload = { exp = now - 1000, iss = "me" } })
    equal(jwt:verify(secret, token).reason:find("expired") ~= nil, true)
    token = jwt:sign(secret, { header = header, payload = { exp = now + 10, iss = "me" } })
    equal(jwt:verify(secret, token, { iss = validators.equals("me") }).verified, true)
    equal(jwt:verify(secret, token, { iss = validators.equals("you") }).verified, false)
    equal(jwt:verify(secret, "a.b").reason, "invalid jwt string")
  end },
  { "an encrypted token", function()
    local key = ("k"):rep(32)
    local token = jwt:sign(key, {
      header = { alg = "dir", enc = "A128CBC-HS256" }, payload = { foo = "bar" },
    })
    local found = jwt:load_jwt(token, key)
    equal({ found.valid, found.payload }, { true, { foo = "bar" } }, found.reason)
  end },
}
