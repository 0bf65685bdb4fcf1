-- The world of scripts in OpenResty's dialect: one in each VM, as a worker of nginx has one. All
-- its scripts share `ngx`, the globals and what they have required.
local pl = ...
local window, WAIT, yield = pl.window, pl.WAIT, pl.yield
local type, error, setmetatable, rawget, pairs = type, error, setmetatable, rawget, pairs
local traceback, getinfo = debug.traceback, debug.getinfo

local world = { preload = {}, vars = {}, cuts = false }

-- What the exchange has in this VM that the host runs scripts for: it stands at 1. And by their serial,
-- what tasks have, which their own functions hold.
local current = pl.current
local states = setmetatable({}, { __mode = "v" })

-- As messages call the phases.
local CONTEXTS = {
  init = "init_by_lua*", init_worker = "init_worker_by_lua*", set = "set_by_lua*",
  server_rewrite = "server_rewrite_by_lua*", rewrite = "rewrite_by_lua*",
  access = "access_by_lua*", precontent = "precontent_by_lua*", content = "content_by_lua*",
  log = "log_by_lua*", header_filter = "header_filter_by_lua*",
  body_filter = "body_filter_by_lua*", timer = "ngx.timer", balancer = "balancer_by_lua*",
  ssl_cert = "ssl_certificate_by_lua*", ssl_client_hello = "ssl_client_hello_by_lua*",
  ssl_session_fetch = "ssl_session_fetch_by_lua*",
  ssl_session_store = "ssl_session_store_by_lua*", exit_worker = "exit_worker_by_lua*",
  proxy_ssl_cert = "proxy_ssl_certificate_by_lua*",
  proxy_ssl_verify = "proxy_ssl_verify_by_lua*",
}
world.CONTEXTS = CONTEXTS

-- The phases that have a request, and those of them that can still answer it.
local REQUEST = {
  set = true, server_rewrite = true, rewrite = true, access = true, precontent = true,
  content = true, header_filter = true, body_filter = true, log = true, balancer = true,
  proxy_ssl_cert = true, proxy_ssl_verify = true,
}
world.REQUEST = REQUEST
world.ANSWER = {
  server_rewrite = true, rewrite = true, access = true, precontent = true, content = true,
}

-- The state at hand while scripts load, and that of tasks before they have their own.
local loading = { phase = "init", step = "init", settings = {} }

-- Phases that the host's own stand for. While an answer is under way, its script and the filters
-- of what it has written take turns: whose turn it is, the host knows.
local HOST = {
  [4] = "balancer", [5] = "header_filter", [6] = "body_filter", [8] = "log",
  [9] = "ssl_client_hello", [10] = "ssl_session_fetch", [11] = "ssl_cert",
  [12] = "ssl_session_store", [13] = "proxy_ssl_cert", [14] = "proxy_ssl_verify",
}

-- Most calls are of the request phase, which comes before all of these.
local HOST_FIRST = 4

-- The state of the exchange or timer at hand; that of the load while there is neither.
local function state()
  if window.allowed ~= 0 then return current[1] end
  local serial, found = window.serial, current[1]
  if not found or found.serial ~= serial then
    if serial == 0 then return loading end
    found = states[serial]
    if not found then error("no request found", 3) end
  end
  local phase = window.phase
  found.phase = phase >= HOST_FIRST and HOST[phase] or found.step
  return found
end
world.state, world.loading = state, loading

-- Refuses a call where it has no meaning; `phases` is a set of names.
local function allow(phases, level)
  local at = state()
  local phase = at.phase
  if not phases[phase] then
    if phase == "init" and phases == world.REQUEST then error("no request found", level or 3) end
    error("API disabled in the context of " .. (CONTEXTS[phase] or "unknown"), level or 3)
  end
  return at
end
world.allow = allow

-- The same for a request's phases: what most calls ask is found out once.
function world.request(level)
  if window.allowed ~= 0 then return current[1] end
  local at = allow(REQUEST, (level or 3) + 1)
  if at == current[1] then window.allowed = 1 end
  return at
end

-- What log lines call the phase where there is no request; nothing where there is one.
function world.context()
  local serial = window.serial
  local at = serial < 0 and states[serial]
  if at then return CONTEXTS[at.phase or at.step] end
  return nil
end

-- The outermost function of scripts. Looking at a level takes as long as it is deep.
local function outermost()
  local low, high = 1, 2
  while getinfo(high, "l") do low, high = high, high * 2 end
  while high - low > 1 do
    local middle = (low + high - (low + high) % 2) / 2
    if getinfo(middle, "l") then low = middle else high = middle end
  end
  for level = low, 1, -1 do
    local info = getinfo(level, "S")
    if info.what ~= "C" and not info.source:find("^.pilotlight:") then return info end
  end
  return nil
end

-- A stack in words, without the host's own functions in it.
function world.traceback(message, level)
  local text = traceback(message, level + 1)
  text = text:gsub("\n[^\n]*pilotlight:[^\n]*", ""):gsub("\n%s*%[C%]: in function 'x?pcall'", "")
  -- It is what the host called, by whatever name.
  local info = outermost()
  if not info then return text end
  local name = info.what == "main" and "main chunk"
    or ("function <%s:%d>"):format(info.short_src, info.linedefined)
  return (text:gsub("in function '[^']*'$", function() return "in " .. name end))
end

function world.phase() return state().phase end

function world.yield(op, ...) return yield(WAIT, op, ...) end

-- The filter's settings are those of the state at hand.
setmetatable(world, {
  __index = function(_, name)
    if name == "settings" then return state().settings end
    return nil
  end,
})

-- A new state; whoever calls holds it. One is `marked` once it has anything that few have: `parent`, `moved`,
-- `spawned`, `held`, `sent`, `raw`, `no_host`, `raw_query`, `body_file`.
function world.begin(phase, settings)
  local made = { serial = window.serial, step = phase, settings = settings }
  states[made.serial] = made
  return made
end

-- `ngx`: what is not a function is asked for at each use.
local ngx = {}
local get, set = {}, {}
world.ngx, world.get, world.set = ngx, get, set
setmetatable(ngx, {
  __index = function(_, name)
    local getter = get[name]
    if getter then return getter() end
    return nil
  end,
  __newindex = function(t, name, value)
    local setter = set[name]
    if setter then return setter(value) end
    rawset(t, name, value)
  end,
})

function get.ctx()
  local at = state()
  if not at.ctx then
    if at == loading then error("no request ctx found", 3) end
    at.ctx = {}
    -- What the scripts of the handshake have left; each request has a copy.
    if at.inherited then
      for key, value in pairs(at.inherited) do at.ctx[key] = value end
    end
  end
  return at.ctx
end

function set.ctx(value)
  if type(value) ~= "table" then
    error("ctx should be a table while getting a " .. type(value), 3)
  end
  state().ctx = value
end

-- What the manifest says to all.
local plan = pl.slow.plan()
world.timers = { pending = plan.timers_pending, running = plan.timers_running }
world.plan, world.prefix = plan, plan.folder

-- All of it, in this order. A part is a function of `ngx` and this world.
for _, name in ipairs {
  "constants", "log", "control", "output", "header", "request", "var", "thread", "timer",
  "semaphore", "capture", "worker", "shared", "re", "socket", "ssl",
  "encode", "time", "cjson", "resty", "modules",
} do
  pl.part("ngx/" .. name)(ngx, world)
end

pl.longer(2 * pl.body_max)
world.declare(pl.slow.json_decode(plan.vars) or {})
world.G = pl.part("ngx/globals")(world)
return world
