-- A plugin at work: its schema fills the configuration, its handler's phases run as Kong's core runs
-- them. Filters of a chain keep the manifest's order: on the request as it is, on the response in
-- reverse, as all filters do; PRIORITY orders nothing here.
local Entity = require "kong.db.schema.entity"
local Schema = require "kong.db.schema"
local MetaSchema = require "kong.db.schema.metaschema"
local typedefs = require "kong.db.schema.typedefs"
local phase = require "kong.pdk.private.phases"
local store = require "kong.db.store"
local uuid = require "kong.tools.uuid"
local log = require "kong.pdk.log"
local load_module = require("kong.tools.module").load_module_if_exists
local _, dialect = ...

local PHASES = phase.phases
local type, error, pcall, tostring, ipairs = type, error, pcall, tostring, ipairs
local create, resume, status = coroutine.create, coroutine.resume, coroutine.status

-- What all plugins have beside their configuration.
local function parent()
  return Entity.new {
    name = "plugins",
    primary_key = { "id" },
    subschema_key = "name",
    subschema_error = "plugin '%s' not enabled; add it to the 'plugins' configuration property",
    fields = {
      { id = typedefs.uuid },
      { name = { type = "string", required = true } },
      { instance_name = typedefs.utf8_name },
      { created_at = typedefs.auto_timestamp_s },
      { updated_at = typedefs.auto_timestamp_s },
      { route = { type = "foreign", reference = "routes", default = ngx.null } },
      { service = { type = "foreign", reference = "services", default = ngx.null } },
      { consumer = { type = "foreign", reference = "consumers", default = ngx.null } },
      { consumer_group = { type = "foreign", reference = "consumer_groups", default = ngx.null } },
      { config = { type = "record", abstract = true } },
      { protocols = typedefs.protocols },
      { enabled = { type = "boolean", required = true, default = true } },
      { tags = typedefs.tags },
    },
  }
end

-- Handlers and schemas that have been loaded, by the plugins' names.
local plugins = {}

local METHODS = {
  "init_worker", "configure", "certificate", "rewrite", "access", "response", "header_filter",
  "body_filter", "log",
}

local function check_handler(name, handler)
  local where = "kong/plugins/" .. name .. "/handler.lua "
  if type(handler) ~= "table" then error(where .. "must return a table", 0) end
  if type(handler.PRIORITY) ~= "number" then error(where .. "needs a number PRIORITY", 0) end
  local version = handler.VERSION
  if type(version) ~= "string" or not version:match("^%d+%.%d+%.%d+") then
    error(where .. "needs a VERSION such as \"1.0.0\"", 0)
  end
  for _, method in ipairs(METHODS) do
    local fn = handler[method]
    if fn ~= nil and type(fn) ~= "function" then error(where .. method .. " must be a function", 0) end
  end
  if handler.response and (handler.header_filter or handler.body_filter) then
    error(where .. "can't have response beside header_filter or body_filter", 0)
  end
end

local function part_of(name, part)
  local found, module = load_module("kong.plugins." .. name .. "." .. part)
  if not found then
    error("no plugin \"" .. name .. "\": there is no kong/plugins/" .. name .. "/" .. part
      .. ".lua on [lua] path", 0)
  end
  return module
end

local function load(name)
  local known = plugins[name]
  if known then return known end
  local schema = part_of(name, "schema")
  local problem = MetaSchema.problem(schema)
  if problem then error("kong/plugins/" .. name .. "/schema.lua: " .. problem, 0) end
  local whole = parent()
  local ok, why = whole:new_subschema(name, schema)
  if not ok then error("kong/plugins/" .. name .. "/schema.lua: " .. why, 0) end
  local has, rows = load_module("kong.plugins." .. name .. ".daos")
  if has then store.adopt(rows) end
  local handler = part_of(name, "handler")
  check_handler(name, handler)
  -- Kong loads all that it ships with: those that ask language models count on what ai-proxy registers.
  if package.loaded["kong.llm"] then load_module "kong.plugins.ai-proxy.handler" end
  known = { name = name, handler = handler, schema = whole, confs = {}, log = log.new(name) }
  plugins[name] = known
  return known
end

-- A plugin's configuration, whole and checked.
local function configure(plugin, filter, given)
  local id = uuid.of_name("plugin:" .. filter)
  local row, errors = plugin.schema:process_auto_fields({
    id = id, name = plugin.name, config = given,
  }, "insert")
  local ok = row ~= nil
  if ok then ok, errors = plugin.schema:validate(row) end
  if not ok then error(table.concat(Schema.lines(errors), "; "), 0) end
  row = plugin.schema:process_auto_fields(row, "select")
  local conf = row.config
  conf.__plugin_id, conf.plugin_instance_name = id, filter
  -- What Kong's core keeps a plugin by, and what counters are kept apart by: filters are apart here.
  conf.__key__ = "plugins:" .. plugin.name .. ":" .. id .. "::::" .. kong.default_workspace
  conf.route_id = id
  row.instance_name = filter
  dialect.plugins[filter] = row
  return conf
end

-- What Kong's core has in ngx.ctx of the exchange.
local function known(ctx)
  local route = dialect.routes[dialect.route_name()]
  ctx.KONG_KNOWN = true
  ctx.route = route
  ctx.service = dialect.services[dialect.upstream_name() or ""]
  ctx.workspace = kong.default_workspace
  local service = ctx.service or {}
  ctx.balancer_data = ctx.balancer_data
    or { tries = {}, try_count = 0, host = service.host, port = service.port }
  if not ctx.router_matches and ngx.var[1] then
    local captures, index = {}, 1
    while ngx.var[index] do
      captures[index] = ngx.var[index]
      index = index + 1
    end
    ctx.router_matches = { uri_captures = captures }
  end
end

-- The plugin's own place in an exchange, for the time of a call.
local function enter(instance, which)
  local ctx = ngx.ctx
  if not ctx.KONG_KNOWN then known(ctx) end
  ctx.KONG_PHASE = which
  ctx.KONG_PLUGIN, ctx.KONG_LOG, ctx.plugin_id = instance, instance.plugin.log, instance.conf.__plugin_id
  return ctx
end

-- init_worker of the plugin, then `configure` with all configurations: once in a worker, before the
-- first exchange or with it.
local function start(instance)
  local plugin = instance.plugin
  instance.started = true
  local function run(method, ...)
    if not plugin.handler[method] then return end
    local ok, why = pcall(plugin.handler[method], plugin.handler, ...)
    if not ok then plugin.log.err("failed to run ", method, ": ", why) end
  end
  if not plugin.started then
    plugin.started = true
    run("init_worker")
  end
  run("configure", plugin.confs)
end

local function start_in_exchange(instance)
  local state = dialect.state()
  local was, ctx = state.phase, ngx.ctx
  local in_phase = ctx.KONG_PHASE
  state.phase, ctx.KONG_PHASE = "init_worker", PHASES.init_worker
  start(instance)
  state.phase, ctx.KONG_PHASE = was, in_phase
end

local UNEXPECTED = { message = "An unexpected error occurred" }

-- An answer that access kept until its coroutine had stopped.
local function flush(ctx)
  ctx.delay_response = nil
  local send = ctx.delayed_response_callback
  if type(send) == "function" then return send(ctx) end
  local answer = ctx.delayed_response
  return kong.response.exit(answer.status_code, answer.content, answer.headers)
end

-- Runs a handler's method in a coroutine of its own, which ends for good where the plugin answers.
local function run_to_answer(instance, method, ctx)
  ctx.delay_response = true
  local co = create(method)
  local ok, why = resume(co, instance.plugin.handler, instance.conf)
  if not ok then
    kong.log.err(tostring(why))
    ctx.delayed_response = { status_code = 500, content = UNEXPECTED }
    ctx.delayed_response_callback = nil
  elseif status(co) ~= "dead" and not ctx.delayed_response then
    kong.log.err("the plugin yielded to nobody")
  end
  if ctx.delayed_response then return flush(ctx) end
  ctx.delay_response = nil
end

local steps = {}

-- A handshake has no route and no service.
function steps.ssl_certificate(instance)
  local method = instance.plugin.handler.certificate
  if not method then return nil end
  return function()
    if not instance.started then start_in_exchange(instance) end
    local ctx = ngx.ctx
    ctx.KONG_PHASE = PHASES.certificate
    ctx.KONG_PLUGIN, ctx.KONG_LOG, ctx.plugin_id = instance, instance.plugin.log, instance.conf.__plugin_id
    method(instance.plugin.handler, instance.conf)
  end
end

function steps.rewrite(instance)
  local method = instance.plugin.handler.rewrite
  if not method then return nil end
  return function()
    if not instance.started then start_in_exchange(instance) end
    enter(instance, PHASES.rewrite)
    method(instance.plugin.handler, instance.conf)
  end
end

function steps.access(instance)
  local handler = instance.plugin.handler
  local method, buffers = handler.access, handler.response ~= nil
  if not method and not buffers then return nil end
  return function()
    if not instance.started then start_in_exchange(instance) end
    local ctx = enter(instance, PHASES.access)
    if buffers then ctx.buffered_proxying = true end
    if method then run_to_answer(instance, method, ctx) end
  end
end

-- What a plugin has said of the server to go to (`kong.service.set_target` and such), for each try.
local function balance(data)
  local balancer = require "ngx.balancer"
  if data.tried and data.retry_callback then data.retry_callback() end
  data.tried = true
  if data.own then balancer.set_current_peer(data.host, data.port) end
  if data.said_scheme then balancer.set_upstream_tls(data.said_scheme == "https") end
  if data.connect_timeout then
    balancer.set_timeouts(data.connect_timeout / 1000, data.write_timeout / 1000,
      data.read_timeout / 1000)
  end
  if data.retries and data.retries > 0 then balancer.set_more_tries(data.retries) end
  if data.tls then dialect.secure(data.tls) end
end

function steps.balancer(instance)
  local handler = instance.plugin.handler
  if not handler.access and not handler.rewrite then return nil end
  return function()
    local data = ngx.ctx.balancer_data
    if data and data.said then return balance(data) end
  end
end

local function from_upstream(ctx)
  local origin = dialect.origin()
  if origin == "upstream" then
    ctx.KONG_PROXIED = true
  elseif origin == "gateway" and not ctx.KONG_EXITED then
    ctx.KONG_UNEXPECTED = true
  end
end

-- The whole body, for plugins whose `response` sees it before the client does.
local function buffer(ctx)
  if ctx.buffered_body then return end
  local body, why = dialect.response():body()
  if not body then error("the response's body can't be held: " .. tostring(why), 0) end
  ctx.buffered_status, ctx.buffered_body = ngx.status, body
  ctx.buffered_headers = ngx.resp.get_headers(0)
end

function steps.header_filter(instance)
  local handler = instance.plugin.handler
  local method, buffered = handler.header_filter, handler.response
  -- Whoever asks for buffering may look at the body later.
  local asks = handler.access and (handler.body_filter or handler.log)
  if not method and not buffered and not asks then return nil end
  return function()
    if not instance.started then start_in_exchange(instance) end
    local ctx = enter(instance, buffered and PHASES.response or PHASES.header_filter)
    from_upstream(ctx)
    -- What never came from an upstream was not buffered in Kong either.
    local whole = ctx.buffered_proxying and ctx.KONG_PROXIED
    if whole then buffer(ctx) end
    if method then return method(handler, instance.conf) end
    if whole and buffered then return run_to_answer(instance, buffered, ctx) end
  end
end

function steps.body_filter(instance)
  local method = instance.plugin.handler.body_filter
  if not method then return nil end
  return function()
    enter(instance, PHASES.body_filter)
    method(instance.plugin.handler, instance.conf)
  end
end

function steps.log(instance)
  local method = instance.plugin.handler.log
  if not method then return nil end
  return function()
    if not instance.started then start_in_exchange(instance) end
    local ctx = enter(instance, PHASES.log)
    from_upstream(ctx)
    method(instance.plugin.handler, instance.conf)
  end
end

local public = {}

-- The steps of nginx's phases that the plugin takes part in.
function public.open(name, filter, given)
  phase.boot(PHASES.init_worker)
  local ok, plugin = pcall(load, name)
  local instance
  if ok then
    ok, instance = pcall(function()
      return { plugin = plugin, conf = configure(plugin, filter, given) }
    end)
  end
  phase.boot(nil)
  if not ok then error(instance or plugin, 0) end
  table.insert(plugin.confs, instance.conf)
  local list = {}
  for _, which in ipairs { "ssl_certificate", "rewrite", "access", "balancer", "header_filter", "body_filter", "log" } do
    local run = steps[which](instance)
    if run then list[#list + 1] = { phase = which, run = run } end
  end
  if plugin.handler.init_worker or plugin.handler.configure then
    table.insert(list, 1, { phase = "init_worker", run = function()
      if instance.started then return end
      ngx.ctx.KONG_PHASE = PHASES.init_worker
      start(instance)
    end })
  else
    instance.started = true
  end
  return list
end

return public
