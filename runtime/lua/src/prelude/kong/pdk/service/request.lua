-- kong.service.request: what the upstream gets.
local phase = require "kong.pdk.private.phases"
local checks = require "kong.pdk.private.checks"
local cjson = require "cjson.safe"
local types = require("kong.tools.http").CONTENT_TYPES
local escape = require("kong.tools.uri").escape
local _, dialect = ...

local check, PHASES = phase.check, phase.phases
local type, error, pairs, ipairs, pcall, tostring = type, error, pairs, ipairs, pcall, tostring
local lower, find, sort, concat = string.lower, string.find, table.sort, table.concat

local EARLY = phase.new(PHASES.rewrite, PHASES.access)
local BEFORE_SENT = phase.new(EARLY, PHASES.balancer)
local BALANCER = phase.new(PHASES.preread, PHASES.balancer)

local request = {}

function request.enable_buffering()
  check(BEFORE_SENT)
  ngx.ctx.buffered_proxying = true
end

local function use_tls(on)
  return function()
    check(BALANCER)
    return require("ngx.balancer").set_upstream_tls(on)
  end
end
request.enable_tls, request.disable_tls = use_tls(true), use_tls(false)

function request.set_scheme(scheme)
  check(BEFORE_SENT)
  if type(scheme) ~= "string" then error("scheme must be a string", 2) end
  if scheme ~= "http" and scheme ~= "https" then error("invalid scheme: " .. scheme, 2) end
  if ngx.get_phase() == "balancer" then
    require("ngx.balancer").set_upstream_tls(scheme == "https")
    return
  end
  local data = ngx.ctx.balancer_data
  data.scheme, data.said_scheme, data.said = scheme, scheme, true
end

function request.set_path(path)
  check(BEFORE_SENT)
  if type(path) ~= "string" then error("path must be a string", 2) end
  if path:sub(1, 1) ~= "/" then error("path must start with /", 2) end
  dialect.request().path = escape(path)
end

function request.set_raw_query(query)
  check(EARLY)
  if type(query) ~= "string" then error("query must be a string", 2) end
  ngx.req.set_uri_args(query)
end

local methods = {}
for name in ([[GET HEAD PUT POST DELETE OPTIONS MKCOL COPY MOVE PROPFIND PROPPATCH LOCK UNLOCK PATCH
  TRACE]]):gmatch("%u+") do
  methods[name] = "HTTP_" .. name
end

function request.set_method(method)
  check(EARLY)
  if type(method) ~= "string" then error("method must be a string", 2) end
  if not methods[method] then error("invalid method: " .. method, 2) end
  ngx.req.set_method(ngx[methods[method]])
end

-- A query whose arguments are in order, so that it is the same every time.
local function ordered_args(args)
  local out = {}
  for name, value in pairs(args) do
    if type(name) ~= "string" then return nil, "arg keys must be strings" end
    local ok, text = pcall(ngx.encode_args, { [name] = value })
    if not ok then return nil, text end
    if text ~= "" then out[#out + 1] = text end
  end
  sort(out)
  return (concat(out, "&"))
end

function request.set_query(args)
  check(EARLY)
  if type(args) ~= "table" then error("args must be a table", 2) end
  local query, why = ordered_args(args)
  if not query then error(why, 2) end
  ngx.req.set_uri_args(query)
end

function request.clear_query_arg(name)
  check(EARLY)
  if type(name) ~= "string" then error("query argument name must be a string", 2) end
  local args = ngx.var.args
  if not args or args == "" then return end
  local kept = {}
  for part in args:gmatch("[^&]+") do
    local key = part:match("^[^=]*"):gsub("+", " ")
    if ngx.unescape_uri(key) ~= name then kept[#kept + 1] = (part:gsub("+", "%%20")) end
  end
  ngx.req.set_uri_args(concat(kept, "&"))
end

local function set_header(name, value)
  if lower(name) == "host" then
    return dialect.set_host(type(value) == "table" and value[1] or tostring(value))
  end
  ngx.req.set_header(name, checks.normalize_multi_header(value))
end

function request.set_header(name, value)
  check(BEFORE_SENT)
  checks.validate_header(name, value)
  if lower(name) == ":authority" then
    local service = ngx.ctx.service
    if not service or service.protocol:sub(1, 4) ~= "grpc" then
      return nil, "cannot set :authority pseudo-header on non-grpc requests"
    end
    name = "host"
  end
  set_header(name, value)
end

function request.add_header(name, value)
  check(EARLY)
  checks.validate_header(name, value)
  if lower(name) == "host" then return set_header(name, value) end
  local values = ngx.req.get_headers()[name]
  if type(values) ~= "table" then values = { values } end
  local more = checks.normalize_multi_header(value)
  for _, one in ipairs(type(more) == "table" and more or { more }) do
    values[#values + 1] = one
  end
  ngx.req.set_header(name, values)
end

function request.clear_header(name)
  check(EARLY)
  if type(name) ~= "string" then error("header must be a string", 2) end
  ngx.req.clear_header(name)
end

function request.set_headers(headers)
  check(EARLY)
  checks.validate_headers(headers)
  for name, value in pairs(headers) do set_header(name, value) end
end

function request.set_raw_body(body)
  check(BEFORE_SENT)
  if type(body) ~= "string" then error("body must be a string", 2) end
  if ngx.get_phase() ~= "balancer" then ngx.req.read_body() end
  ngx.req.set_body_data(body)
end

-- Text that is in none of the values.
local function boundary_for(args)
  while true do
    local boundary = require("kong.tools.rand").random_string()
    local clash = false
    for _, value in pairs(args) do clash = clash or find(tostring(value), boundary, 1, true) end
    if not clash then return boundary end
  end
end

local plain = { string = true, number = true, boolean = true }

local function multipart(args, mime)
  local names = {}
  for name, value in pairs(args) do
    if type(name) ~= "string" then
      error(("invalid key %q: got %s, expected string"):format(tostring(name), type(name)), 3)
    end
    if not plain[type(value)] then
      error(("invalid value %q: got %s, expected string, number or boolean"):format(name,
        type(value)), 3)
    end
    names[#names + 1] = name
  end
  sort(names)
  local boundary = mime:match('boundary="([^"]+)"') or mime:match("boundary=(.*)$")
  for _, value in pairs(args) do
    if boundary and find(tostring(value), "--" .. boundary, 1, true) then boundary = nil end
  end
  boundary = boundary or boundary_for(args)
  local out = {}
  for _, name in ipairs(names) do
    out[#out + 1] = "--" .. boundary .. '\r\nContent-Disposition: form-data; name="' .. name
      .. '"\r\n\r\n' .. tostring(args[name]) .. "\r\n"
  end
  out[#out + 1] = "--" .. boundary .. "--\r\n"
  return concat(out), types.CONTENT_TYPE_FORM_DATA .. "; boundary=" .. boundary
end

local encoders = {
  [types.CONTENT_TYPE_POST] = function(args, mime)
    local query, why = ordered_args(args)
    if not query then error(why, 3) end
    return query, mime
  end,
  [types.CONTENT_TYPE_JSON] = function(args, mime)
    local text, why = cjson.encode(args)
    if not text then error(why, 3) end
    return text, mime
  end,
  [types.CONTENT_TYPE_FORM_DATA] = multipart,
}

function request.set_body(args, mime)
  check(EARLY)
  if type(args) ~= "table" then error("args must be a table", 2) end
  if mime and type(mime) ~= "string" then error("mime must be a string", 2) end
  mime = mime or require("kong.tools.http").get_header(types.CONTENT_TYPE)
  if not mime then
    return nil, "content type was neither explicitly given as an argument or received as a header"
  end
  local encode = encoders[mime:match("^[^;]*")]
  if not encode then error("unsupported content type " .. mime, 2) end
  local body, media = encode(args, mime)
  ngx.req.read_body()
  ngx.req.set_body_data(body)
  ngx.req.set_header(types.CONTENT_TYPE, media)
  return true
end

return request
