-- kong.log.serialize: what is known of an exchange, as one table; and what plugins put in it.
local phase = require "kong.pdk.private.phases"
local _, dialect = ...
local copy = require("kong.tools.table").cycle_aware_deep_copy
local NAMES = require("kong.constants").RESPONSE_SOURCE.NAMES

local check, PHASES = phase.check, phase.phases
local type, error, pairs, ipairs, tonumber, tostring = type, error, pairs, ipairs, tonumber, tostring
local null = ngx.null

local KEPT = phase.new(PHASES.rewrite, PHASES.access, PHASES.header_filter, PHASES.response,
  PHASES.body_filter, PHASES.log)
local modes = { set = true, add = true, replace = true }

local public = {}

function public.set(key, value, options)
  check(KEPT)
  if type(key) ~= "string" then error("key must be a string", 2) end
  local mode = options and options.mode or "set"
  if not modes[mode] then error("mode must be 'set', 'add' or 'replace'", 2) end
  local ctx = (options and options.ngx or ngx).ctx
  local values = ctx.serialize_values
  if not values then
    values = {}
    ctx.serialize_values = values
  end
  values[#values + 1] = { key = key, value = value, mode = mode }
end

local plain = { number = true, string = true, boolean = true, ["nil"] = true }
local keys = { number = true, string = true, boolean = true }

local function is_plain(value, seen)
  if value == null or plain[type(value)] then return true end
  if type(value) ~= "table" or seen[value] then return false end
  seen[value] = true
  for key, one in pairs(value) do
    if not keys[type(key)] or not is_plain(one, seen) then return false end
  end
  return true
end

-- The names in "a.b\.c.d": a, b.c, d.
local function path_of(key)
  local path = {}
  for part in (key:gsub("\\%.", "\0") .. "."):gmatch("(.-)%.") do
    path[#path + 1] = (part:gsub("%z", "."))
  end
  return path
end

local function put(root, item)
  if not is_plain(item.value, {}) then
    error("value must be nil, a number, string, boolean or a non-self-referencial table "
      .. "containing numbers, string and booleans", 3)
  end
  local path = path_of(item.key)
  local node = root
  for index = 1, #path - 1 do
    local name = path[index]
    if node[name] == nil then
      if item.mode == "replace" then return end
      node[name] = {}
    elseif type(node[name]) ~= "table" then
      error("The key '" .. item.key .. "' could not be used as a serialize value. Subkey '" .. name
        .. "' is not a table. It's " .. tostring(node[name]), 3)
    end
    node = node[name]
  end
  local last = path[#path]
  local has = node[last] ~= nil
  if item.mode == "set" or item.mode == "add" and not has or item.mode == "replace" and has then
    node[last] = item.value
  end
end

local function number_of(text) return tonumber(text) or text end

local function tls_of(var, override)
  local version = var.ssl_protocol
  if not version or version == "" then return nil end
  return {
    version = version, cipher = var.ssl_cipher, client_verify = override or var.ssl_client_verify,
  }
end

local function entity_of(ctx)
  local credential = ctx.authenticated_credential
  if credential == nil then return nil end
  local consumer = credential.consumer or ctx.authenticated_consumer
  return { id = credential.id, consumer_id = credential.consumer_id or consumer and consumer.id }
end

-- What the upstream was asked for.
local function upstream_uri()
  local request = dialect.request()
  local query = request.query
  return query and request.path .. "?" .. query or request.path
end

local function tries_of(ctx, var)
  local data = ctx.balancer_data
  local ip, port = (var.upstream_addr or ""):match("^%[?(.-)%]?:(%d+)$")
  if not ip then return data and data.tries end
  return { { ip = ip, port = tonumber(port) } }
end

local function redacted(headers)
  for _, name in ipairs { "authorization", "proxy-authorization" } do
    if headers[name] ~= nil then headers[name] = "REDACTED" end
  end
  return headers
end

-- Milliseconds of the exchange: in all, of the upstream, the rest.
local function latencies(ctx, var)
  local request = (tonumber(var.request_time) or 0) * 1000
  local waited = tonumber((tostring(var.upstream_response_time or ""):match("[%d.]+$")))
  local proxy = ctx.KONG_PROXIED and waited and waited * 1000 or nil
  return {
    request = request,
    proxy = ctx.KONG_WAITING_TIME or proxy or -1,
    kong = ctx.KONG_PROXY_LATENCY or ctx.KONG_RESPONSE_LATENCY or math.max(request - (proxy or 0), 0),
    receive = ctx.KONG_RECEIVE_TIME or 0,
  }
end

function public.serialize(options)
  check(PHASES.log)
  local ngx, kong = options and options.ngx or ngx, options and options.kong or kong
  local ctx, var = ngx.ctx, ngx.var
  local uri = ctx.request_uri or var.request_uri or ""
  local port = ctx.host_port or tonumber(var.server_port)
  local root = {
    request = {
      id = require("kong.observability.tracing.request_id").get() or "",
      uri = uri,
      url = var.scheme .. "://" .. var.host .. (port and ":" .. port or "") .. uri,
      querystring = kong.request.get_query(),
      method = kong.request.get_method(),
      headers = redacted(kong.request.get_headers()),
      size = number_of(var.request_length),
      tls = tls_of(var, ctx.CLIENT_VERIFY_OVERRIDE),
    },
    upstream_uri = upstream_uri(),
    upstream_status = var.upstream_status or ctx.buffered_status or "",
    response = {
      status = ngx.status,
      headers = ngx.resp.get_headers(),
      size = number_of(var.bytes_sent),
    },
    latencies = latencies(ctx, var),
    tries = tries_of(ctx, var),
    authenticated_entity = entity_of(ctx),
    route = copy(ctx.route),
    service = copy(ctx.service),
    consumer = copy(ctx.authenticated_consumer),
    client_ip = dialect.client_ip(),
    started_at = kong.request.get_start_time(),
    source = NAMES[kong.response.get_source(ctx)],
    workspace = ctx.workspace,
    workspace_name = require("kong.workspaces").get_workspace_name(),
  }
  for _, item in ipairs(ctx.serialize_values or {}) do put(root, item) end
  return root
end

return public
