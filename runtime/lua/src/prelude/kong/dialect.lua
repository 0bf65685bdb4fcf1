-- The Kong dialect: modules that plugins require, the global `kong`, and what the manifest says in
-- Kong's words. The modules' files run in the world's globals, as a user's own would.
local pl = ...
local slow, C, window, text = pl.slow, pl.C, pl.window, pl.text
local world = pl.part("ngx/world")
local ngx, G = world.ngx, world.G
local pcall, error, setmetatable, setfenv = pcall, error, setmetatable, setfenv

-- Kong's own names are always ours; plugins (`kong.plugins.*`) and what else their trees hold are the
-- user's.
local OURS = [[
  kong.cache kong.concurrency kong.constants kong.deprecation kong.dynamic_hook kong.meta kong.reports
  kong.workspaces
  kong.db.schema kong.db.schema.checks kong.db.schema.entity kong.db.schema.fill kong.db.schema.json
  kong.db.schema.metaschema kong.db.schema.paths kong.db.schema.rules kong.db.schema.texts
  kong.db.schema.typedefs kong.db.schema.values kong.db.store
  kong.observability.tracing.propagation.schema kong.observability.tracing.request_id
  kong.pdk.client kong.pdk.client.tls kong.pdk.ctx kong.pdk.ip kong.pdk.log kong.pdk.nginx
  kong.pdk.node kong.pdk.private.body kong.pdk.private.checks kong.pdk.private.phases
  kong.pdk.private.rate_limiting kong.pdk.private.send kong.pdk.private.serialize kong.pdk.request
  kong.pdk.response kong.pdk.router kong.pdk.service kong.pdk.service.request
  kong.pdk.service.response kong.pdk.table kong.pdk.telemetry kong.pdk.tracing kong.pdk.vault
  kong.runloop.balancer kong.runloop.balancer.upstreams kong.runloop.events kong.runloop.plugin
  kong.runloop.wasm
  kong.tools.cjson kong.tools.gzip kong.tools.http kong.tools.ip kong.tools.mime_type
  kong.tools.module kong.tools.queue kong.tools.queue_schema kong.tools.rand
  kong.tools.redis.schema kong.tools.request_aware_table kong.tools.sandbox kong.tools.sha256
  kong.tools.string kong.tools.table kong.tools.time kong.tools.timestamp kong.tools.uri
  kong.tools.utils kong.tools.uuid kong.tools.yield
]]

-- Libraries that Kong ships with: ours where `[lua] path` has none.
local SPARE = [[
  inspect lfs lua_system_constants multipart pl.file pl.path pl.pretty pl.stringx pl.tablex
  pl.template pl.utils resty.counter resty.ipmatcher resty.lrucache socket.url tablepool
]]

-- Libraries of clouds, which Kong's AI plugins load and most models never use.
local ABSENT = [[
  resty.aws resty.aws.config resty.aws.request.sign resty.gcp.request.credentials.accesstoken
]]

local preload = G.package.preload
local dialect = { ngx = ngx, setfenv = setfenv, getinfo = debug.getinfo, env = slow.env, ffi = pl.ffi }

local function ours(name, part)
  local chunk = slow.part(part)
  return setfenv(chunk, G)(name, dialect)
end

for name in OURS:gmatch("%S+") do
  local part = name:gsub("%.", "/")
  preload[name] = function() return ours(name, part) end
end

local function spare(name, part)
  preload[name] = preload[name] or function()
    local source, path = slow.find_module(name)
    if not source then return ours(name, part) end
    local chunk, why = slow.compile(source, "@" .. path, G)
    if not chunk then error("error loading module '" .. name .. "':\n\t" .. why, 0) end
    return chunk(name, path)
  end
end
for name in SPARE:gmatch("%S+") do spare(name, "kong/" .. name:gsub("%.", "/")) end
for name in ABSENT:gmatch("%S+") do spare(name, "kong/absent") end

-- The exchange at hand, by the gateway's own handles.
function dialect.request() return (setmetatable({ window.serial, false }, pl.request)) end
function dialect.response() return (setmetatable({ window.serial, false }, pl.response)) end

local function field(name)
  if C.field(window, pl.getters[name]) == 0 then return nil end
  return (text(window.ptr, window.len))
end
function dialect.route_name() return field("route") end
function dialect.upstream_name() return field("upstream") end
function dialect.origin() return field("from") end

-- The host that the upstream sees; `kong.request` goes on seeing the client's.
function dialect.set_host(host)
  local ctx = ngx.ctx
  ctx.host = ctx.host or ngx.var.host
  dialect.request().host = host
end

-- Variables of Kong's nginx that plugins read and write.
local function service_of()
  local ctx = ngx.ctx
  return ctx.balancer_data or {}, ctx.service or {}
end
local variables = {
  -- With the query, where a plugin has written one into it.
  upstream_uri = function()
    local path, said = dialect.request().path, world.state().upstream_uri
    return said and said.path == path and said.uri or path
  end,
  upstream_scheme = function()
    local data, service = service_of()
    return data.scheme or service.protocol or "http"
  end,
  -- The host that the upstream sees, as the request has it by now.
  upstream_host = function() return ngx.var.http_host or "" end,
}
for name, get in pl.pairs(variables) do world.variables[name] = get end
function world.setters.upstream_uri(uri)
  local path, query = uri:match("^([^?]*)%??(.*)$")
  local request = dialect.request()
  request.path = path
  world.state().upstream_uri = { uri = uri, path = request.path }
  if uri:find("?", 1, true) then ngx.req.set_uri_args(query) end
end
function world.setters.upstream_scheme(scheme)
  local data = service_of()
  data.scheme, data.said_scheme, data.said = scheme, scheme, true
end
function world.setters.upstream_host(host) dialect.set_host(host) end

dialect.state = world.state

-- What a plugin has said of TLS with the upstream, for the next try: it has a connection of its own.
local token = pl.part("token")
function dialect.secure(tls)
  local issuers
  if tls.store then
    issuers = {}
    local all = tls.store.certificates
    for index = 1, #all do issuers[index] = all[index].ctx.der end
  end
  slow.hs_trust(tls.verify, tls.depth, issuers)
  if tls.certificate then
    slow.hs_chain(token.number(tls.certificate[1]))
    slow.hs_key(token.number(tls.certificate[2]))
  end
end

-- The client's certificate and those that came with it, PEM.
function dialect.client_chain() return slow.client_chain() end
function dialect.end_session() return slow.hs_no_session() end

-- Whether lines of a level of nginx's are written: error, warn, info, debug are the gateway's.
local LEVELS = { [0] = 1, 1, 1, 1, 1, 2, 3, 3, 4 }
function dialect.logs(level) return slow.logs(LEVELS[level]) end

-- `ngx.ctx`; nil where there is no exchange and no timer.
local function ctx_of() return ngx.ctx end
function dialect.ctx()
  local ok, ctx = pcall(ctx_of)
  return ok and ctx or nil
end

-- Whom a trusted peer speaks for: by X-Real-IP, else the last of X-Forwarded-For that is not trusted
-- itself.
function dialect.client_ip()
  local var, kong = ngx.var, dialect.kong
  local peer, trusted = var.remote_addr, kong.ip.is_trusted
  if not trusted(peer) then return peer end
  local is_ip = G.require("kong.tools.ip").is_valid_ip
  local real = var.http_x_real_ip
  if real and is_ip(real) then return real end
  local client = peer
  for address in (var.http_x_forwarded_for or ""):reverse():gmatch("[^,%s]+") do
    address = address:reverse()
    if not is_ip(address) then break end
    client = address
    if not trusted(address) then break end
  end
  return client
end

function dialect.random(count) return G.require("resty.random").bytes(count, true) end
function dialect.hostname() return dialect.facts.hostname or "" end

-- What the manifest says.
local facts = slow.json_decode(world.plan.kong) or {}
facts.consumers = slow.json_decode(world.plan.consumers) or {}
dialect.facts = facts
dialect.routes, dialect.services, dialect.plugins = {}, {}, {}

local kong = {
  version = "3.10.0", version_num = 3010000,
  configuration = setmetatable({}, {
    __index = {
      database = "off", role = "traditional", prefix = nil, trusted_ips = facts.trust,
      host_ports = {}, stream_listeners = {}, admin_listeners = {}, proxy_listeners = {},
      untrusted_lua = "on", untrusted_lua_sandbox_requires = {},
      untrusted_lua_sandbox_environment = {}, log_level = "notice", anonymous_reports = false,
      tracing_sampling_rate = 0, lua_max_resp_headers = 100, lua_max_req_headers = 100,
      lua_max_uri_args = 100, lua_max_post_args = 100, nginx_http_client_body_buffer_size = "8k",
      plugins = {}, vaults = { "env" }, db_cache_ttl = 0,
      remove_sensitive = function() return {} end,
    },
    __newindex = function() error("cannot write to configuration", 2) end,
  }),
}
G.kong, dialect.kong = kong, kong

-- `kong.log` is the plugin's own while it runs.
local log
setmetatable(kong, {
  __index = function(_, name)
    if name == "log" then return log.current() end
    return nil
  end,
})

local need = G.require
log = need "kong.pdk.log"
for name in ([[table node ctx ip client request service response router nginx vault tracing
  telemetry]]):gmatch("%a+") do
  kong[name] = need("kong.pdk." .. name)
end

local uuid = need "kong.tools.uuid"
kong.plugin = { get_id = function() return ngx.ctx.plugin_id end }
kong.cluster = { get_id = function() return uuid.of_name("cluster") end }

local events = need "kong.runloop.events"
kong.worker_events, kong.cluster_events, kong.timer = events.worker, events.cluster, events.timer
kong.default_workspace = need("kong.workspaces").get_workspace_id()

-- Routes and services as Kong's rows.
for name, service in pl.pairs(facts.services or {}) do
  service.id, service.name = uuid.of_name("service:" .. name), name
  service.enabled, service.ws_id = true, kong.default_workspace
  dialect.services[name] = service
end
for name, route in pl.pairs(facts.routes or {}) do
  route.id, route.name = uuid.of_name("route:" .. name), name
  route.ws_id = kong.default_workspace
  local service = route.service and dialect.services[route.service]
  route.service = service and { id = service.id } or nil
  dialect.routes[name] = route
end

-- What one generation of the manifest has kept another does not find.
local cache = need "kong.cache"
kong.cache = cache.new("plugins", facts.generation)
kong.core_cache = cache.new("core", facts.generation)
kong.db = need("kong.db.store").open()

return dialect
