-- kong.request: what the client sent.
local phase = require "kong.pdk.private.phases"
local bodies = require "kong.pdk.private.body"
local normalize = require("kong.tools.uri").normalize
local http_header = require("kong.tools.http").get_header
local array_mt = require("cjson").array_mt
local _, dialect = ...

local check, check_not, PHASES = phase.check, phase.check_not, phase.phases
local type, error, pairs, tonumber, lower, find, sub = type, error, pairs, tonumber, string.lower,
  string.find, string.sub
local setmetatable = setmetatable

local MAX = 1000
local BEFORE_CONTENT = phase.new(PHASES.rewrite, PHASES.access, PHASES.response, PHASES.error,
  PHASES.admin_api)

local request = {}

local function trusted() return kong.ip.is_trusted(kong.client.get_ip()) end

-- A header that a trusted peer has set.
local function forwarded(name)
  if trusted() then return request.get_header(name) end
  return nil
end

function request.get_scheme()
  check(PHASES.request)
  return ngx.var.scheme
end

function request.get_host()
  check(PHASES.request)
  return ngx.ctx.host or ngx.var.host
end

function request.get_port()
  check_not(PHASES.init_worker)
  return (tonumber(ngx.var.server_port))
end

function request.get_forwarded_scheme()
  check(PHASES.request)
  local scheme = forwarded "X-Forwarded-Proto"
  return scheme and lower(scheme) or request.get_scheme()
end

-- "user@Host:80" has "host" and "80".
local function host_and_port(text)
  local host = text:match("@(.*)$") or text
  local name, port = host:match("^([^:]*):(.*)$")
  return lower(name or host), port
end

function request.get_forwarded_host()
  check(PHASES.request)
  local host = forwarded "X-Forwarded-Host"
  if host then return (host_and_port(host)) end
  return request.get_host()
end

local function port_of(text)
  local port = text and tonumber(text, 10)
  return port and port >= 1 and port <= 65535 and port or nil
end

function request.get_forwarded_port()
  check(PHASES.request)
  local port = port_of(forwarded "X-Forwarded-Port")
  if port then return port end
  local host = forwarded "X-Forwarded-Host"
  if host then
    local _, text = host_and_port(host)
    port = port_of(text)
    if port then return port end
  end
  return ngx.ctx.host_port or request.get_port()
end

function request.get_forwarded_path()
  check(PHASES.request)
  return forwarded "X-Forwarded-Path" or request.get_path()
end

function request.get_forwarded_prefix()
  check(PHASES.request)
  return forwarded "X-Forwarded-Prefix"
end

function request.get_http_version()
  check(PHASES.request)
  return ngx.req.http_version()
end

function request.get_method()
  check(PHASES.request)
  return ngx.req.get_method()
end

local function raw_uri() return ngx.ctx.request_uri or ngx.var.request_uri or "" end

function request.get_raw_path()
  check(PHASES.request)
  local uri = raw_uri()
  local mark = find(uri, "?", 2, true)
  return mark and sub(uri, 1, mark - 1) or uri
end

function request.get_path()
  check(PHASES.request)
  return normalize(request.get_raw_path(), true)
end

function request.get_path_with_query()
  check(PHASES.request)
  return raw_uri()
end

function request.get_raw_query()
  check(PHASES.request)
  return ngx.var.args or ""
end

function request.get_query_arg(name)
  check(PHASES.request)
  if type(name) ~= "string" then error("query argument name must be a string", 2) end
  local value = request.get_query()[name]
  if type(value) == "table" then return value[1] end
  return value
end

function request.get_query(most)
  check(PHASES.request)
  bodies.check_max("max_args", most, 1, MAX)
  return ngx.req.get_uri_args(most)
end

function request.get_header(name)
  check(PHASES.request)
  if type(name) ~= "string" then error("header name must be a string", 2) end
  return http_header(name)
end

function request.get_headers(most)
  check(PHASES.request)
  bodies.check_max("max_headers", most, 1, MAX)
  return ngx.req.get_headers(most)
end

local FULL = "request body did not fit into client body buffer, consider raising "
  .. "'client_body_buffer_size'"

-- With `most`, a body that was put in a file is read too; 0: however large.
function request.get_raw_body(most)
  check(BEFORE_CONTENT)
  ngx.req.read_body()
  local text = ngx.req.get_body_data()
  if text then return text end
  if not ngx.req.get_body_file() then return "" end
  if not most or most < 0 then return nil, FULL end
  local why
  text, why = dialect.request():body()
  if not text then return nil, "failed to read cached request body: " .. tostring(why) end
  if most > 0 and #text > most then
    return nil, ("request body file too big: %d > %d"):format(#text, most)
  end
  return text
end

function request.get_body(mime, most, most_bytes)
  check(BEFORE_CONTENT)
  bodies.check_max("max_args", most, 1, MAX)
  return bodies.decode(mime or request.get_header "Content-Type", function()
    return request.get_raw_body(most_bytes)
  end, function()
    ngx.req.read_body()
    return ngx.req.get_post_args(most)
  end)
end

function request.get_start_time()
  check(PHASES.request)
  return ngx.ctx.KONG_PROCESSING_START or ngx.req.start_time() * 1000
end

function request.get_uri_captures(ctx)
  check(PHASES.request)
  local found = (ctx or ngx.ctx).router_matches
  local named, unnamed = {}, {}
  for key, value in pairs(found and found.uri_captures or {}) do
    if type(key) == "number" then unnamed[key] = value else named[key] = value end
  end
  return { named = named, unnamed = setmetatable(unnamed, array_mt) }
end

return request
