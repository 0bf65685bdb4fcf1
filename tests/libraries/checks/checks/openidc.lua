local kit = require "kit"
local equal = kit.equal
local openidc = kit.lib "openidc"
local issuer = "http://127.0.0.1:" .. kit.peers.provider.port

return {
  { "signing in by way of a provider", client = "openidc", function()
    local here = "http://127.0.0.1:" .. kit.peers.gateway.port .. "/openidc/1"
    local found, why = openidc.authenticate({
      redirect_uri = here .. "/callback", logout_path = "/openidc/1/logout", redirect_after_logout_uri = "/http/",
      discovery = issuer .. "/.well-known/openid-configuration", client_id = "edge", client_secret = "secret",
      scope = "openid email", use_pkce = true, access_token_expires_leeway = 600,
      renew_access_token_on_expiry = true,
    }, nil, nil, { secret = "a secret", cookie_secure = false })
    if why then error(why, 0) end
    equal({ found.id_token.sub, found.id_token.iss, found.user.email }, { "ada", issuer, "ada@example.test" })
    equal(found.access_token:find("^access%-") ~= nil, true)
    -- It is always about to expire: the provider is asked for another one.
    if ngx.var.arg_refresh then equal(found.access_token == "access-0", false) end
  end },
  { "bearers' tokens by the provider's keys", function()
    local options = {
      discovery = issuer .. "/.well-known/openid-configuration",
      token_signing_alg_values_expected = { "RS256" },
    }
    local http = require("resty.http").new()
    local answer = assert(http:request_uri(issuer .. "/sign"))
    ngx.req.set_header("Authorization", "Bearer " .. answer.body)
    local claims, why = openidc.bearer_jwt_verify(options)
    equal({ claims and claims.sub, why }, { "ada", nil })
    ngx.req.set_header("Authorization", "Bearer " .. answer.body:sub(1, -12) .. "AAAA" .. answer.body:sub(-7))
    claims, why = openidc.bearer_jwt_verify(options)
    equal({ claims, why ~= nil }, { nil, true })
  end },
  { "introspection", function()
    local options = { introspection_endpoint = issuer .. "/introspect", client_id = "edge", client_secret = "secret" }
    ngx.req.set_header("Authorization", "Bearer opaque")
    local claims, why = openidc.introspect(options)
    equal({ claims and claims.sub, why }, { "ada", nil })
    ngx.req.set_header("Authorization", "Bearer other")
    claims, why = openidc.introspect(options)
    equal({ claims.active, why }, { false, "invalid token" })
  end },
}
