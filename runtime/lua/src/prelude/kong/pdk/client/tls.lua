-- kong.client.tls: the client's certificate.
local phase = require "kong.pdk.private.phases"
local _, dialect = ...

local check, PHASES = phase.check, phase.phases
local type, error = type, error

local BEFORE_LOG = phase.new(PHASES.rewrite, PHASES.access, PHASES.response, PHASES.balancer)
local REWRITE_AND_LATER = phase.new(BEFORE_LOG, PHASES.log)

local tls = {}

function tls.request_client_certificate(authorities)
  check(PHASES.certificate)
  return require("ngx.ssl").verify_client(authorities)
end

function tls.disable_session_reuse()
  check(PHASES.certificate)
  return dialect.end_session()
end

function tls.get_full_client_certificate_chain()
  check(REWRITE_AND_LATER)
  return dialect.client_chain()
end

function tls.set_client_verify(verified)
  check(BEFORE_LOG)
  if type(verified) ~= "string"
    or verified ~= "SUCCESS" and verified ~= "NONE" and verified:sub(1, 7) ~= "FAILED:"
  then
    error("unknown client verify value: " .. tostring(verified)
      .. " accepted values are: \"SUCCESS\", \"NONE\" or \"FAILED:<reason>\"", 2)
  end
  ngx.ctx.CLIENT_VERIFY_OVERRIDE = verified
end

return tls
