-- kong.client: who asks.
local phase = require "kong.pdk.private.phases"
local _, dialect = ...
local is_valid_uuid = require("kong.tools.uuid").is_valid_uuid
local check_https = require("kong.tools.http").check_https

local check, check_not, PHASES = phase.check, phase.check_not, phase.phases
local type, error, tonumber = type, error, tonumber

local AUTH_AND_LATER = phase.new(PHASES.access, PHASES.header_filter, PHASES.response,
  PHASES.body_filter, PHASES.log)

local client = {}

function client.get_ip()
  check_not(PHASES.init_worker)
  return ngx.var.realip_remote_addr or ngx.var.remote_addr
end

function client.get_forwarded_ip()
  check_not(PHASES.init_worker)
  return dialect.client_ip()
end

function client.get_port()
  check_not(PHASES.init_worker)
  return (tonumber(ngx.var.realip_remote_port or ngx.var.remote_port))
end

function client.get_forwarded_port()
  check_not(PHASES.init_worker)
  return (tonumber(ngx.var.remote_port))
end

function client.get_credential()
  check(AUTH_AND_LATER)
  return ngx.ctx.authenticated_credential
end

function client.get_consumer()
  check(AUTH_AND_LATER)
  return ngx.ctx.authenticated_consumer
end

function client.load_consumer(id, by_username)
  check(AUTH_AND_LATER)
  if type(id) ~= "string" or id == "" then error("consumer_id must be a string", 2) end
  local is_id = is_valid_uuid(id)
  if not is_id and not by_username then
    error("cannot load a consumer with an id that is not a uuid", 2)
  end
  local consumer, why
  if is_id then
    consumer, why = kong.db.consumers:select { id = id }
    if consumer or why then return consumer, why end
  end
  if by_username then return kong.db.consumers:select_by_username(id) end
  return nil
end

local table_or_nil = { table = true, ["nil"] = true }

function client.authenticate(consumer, credential)
  check(PHASES.access)
  if not table_or_nil[type(consumer)] then error("consumer must be a table or nil", 2) end
  if not table_or_nil[type(credential)] then error("credential must be a table or nil", 2) end
  if consumer == nil and credential == nil then
    error("either credential or consumer must be provided", 2)
  end
  local ctx = ngx.ctx
  ctx.authenticated_consumer, ctx.authenticated_credential = consumer, credential
end

function client.get_protocol(allow_terminated)
  check(AUTH_AND_LATER)
  local route = ngx.ctx.route
  if not route then return nil, "No active route found" end
  if #route.protocols == 1 then return route.protocols[1] end
  local https, why = check_https(kong.ip.is_trusted(client.get_ip()), allow_terminated)
  if why then return nil, why end
  return https and "https" or "http"
end

client.tls = require "kong.pdk.client.tls"
return client
