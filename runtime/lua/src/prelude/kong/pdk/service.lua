-- kong.service: the upstream that the request goes to.
local phase = require "kong.pdk.private.phases"
local _, dialect = ...

local check, PHASES = phase.check, phase.phases
local type, error, floor = type, error, math.floor

local EARLY = phase.new(PHASES.rewrite, PHASES.access, PHASES.balancer, PHASES.preread)

local service = {}

-- What the balancer phase reads.
local function data()
  local kept = ngx.ctx.balancer_data
  kept.said = true
  return kept
end

local function check_integer(name, value, least, most)
  if type(value) ~= "number" or floor(value) ~= value then
    error(name .. " must be an integer", 3)
  end
  if value < least or value > most then
    error(("%s must be an integer between %d and %d: given %s"):format(name, least, most, value), 3)
  end
end

function service.set_upstream(name)
  check(PHASES.access)
  if type(name) ~= "string" then error("host must be a string", 2) end
  if not dialect.services[name] then
    return nil, "could not find an Upstream named '" .. name .. "'"
  end
  dialect.request().upstream = name
  ngx.ctx.balancer_data.host = name
  return true
end

function service.set_target(host, port)
  check(EARLY)
  if type(host) ~= "string" then error("host must be a string", 2) end
  check_integer("port", port, 0, 65535)
  local target = data()
  target.host, target.port, target.own = host, port, true
  -- In Kong the target's name is the host that the upstream sees.
  if ngx.get_phase() ~= "balancer" then dialect.set_host(host) end
end

function service.set_target_retry_callback(callback)
  check(PHASES.access)
  if type(callback) ~= "function" then error("retry_callback must be a function", 2) end
  data().retry_callback = callback
end

function service.set_retries(retries)
  check(PHASES.access)
  check_integer("retries", retries, 0, 32767)
  data().retries = retries
end

function service.set_timeouts(connect, write, read)
  check(PHASES.access)
  local most = 2147483646
  check_integer("connect_timeout", connect, 1, most)
  check_integer("write_timeout", write, 1, most)
  check_integer("read_timeout", read, 1, most)
  local target = data()
  target.connect_timeout, target.write_timeout, target.read_timeout = connect, write, read
end

-- TLS towards the upstream: the handshakes of this exchange's tries are done so.
local function tls(name, value)
  local target = data()
  target.tls = target.tls or {}
  target.tls[name] = value
  return true
end

function service.set_tls_cert_key(chain, key)
  check(EARLY)
  if type(chain) ~= "cdata" then error("chain must be a parsed cdata object", 2) end
  if type(key) ~= "cdata" then error("key must be a parsed cdata object", 2) end
  return tls("certificate", { chain, key })
end

function service.set_tls_verify(on)
  check(EARLY)
  if type(on) ~= "boolean" then error("argument must be a boolean", 2) end
  return tls("verify", on)
end

function service.set_tls_verify_depth(depth)
  check(EARLY)
  if type(depth) ~= "number" then error("argument must be a number", 2) end
  return tls("depth", depth)
end

function service.set_tls_verify_store(store)
  check(EARLY)
  if not require("resty.openssl.x509.store").istype(store) then
    error("argument must be a resty.openssl.x509.store object", 2)
  end
  return tls("store", store)
end

service.request = require "kong.pdk.service.request"
service.response = require "kong.pdk.service.response"
return service
