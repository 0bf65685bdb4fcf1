-- kong.response: what the client gets.
local checks = require "kong.pdk.private.checks"
local phase = require "kong.pdk.private.phases"
local bodies = require "kong.pdk.private.body"
local send = require "kong.pdk.private.send"
local tools = require "kong.tools.http"
local cjson = require "cjson.safe"
local TYPES = require("kong.constants").RESPONSE_SOURCE.TYPES
local buffer = require "string.buffer"

local check, PHASES = phase.check, phase.phases
local type, error, lower, format = type, error, string.lower, string.format

local SEEN = phase.new(PHASES.response, PHASES.header_filter, PHASES.body_filter, PHASES.log,
  PHASES.error, PHASES.admin_api)
local OPEN = phase.new(PHASES.rewrite, PHASES.access, PHASES.response, PHASES.balancer,
  PHASES.header_filter, PHASES.error, PHASES.admin_api)

local messages = {
  [400] = "Bad request", [401] = "Unauthorized", [402] = "Payment required", [403] = "Forbidden",
  [404] = "Not found", [405] = "Method not allowed", [406] = "Not acceptable",
  [407] = "Proxy authentication required", [408] = "Request timeout", [409] = "Conflict",
  [410] = "Gone", [411] = "Length required", [412] = "Precondition failed",
  [413] = "Payload too large", [414] = "URI too long", [415] = "Unsupported media type",
  [416] = "Range not satisfiable", [417] = "Expectation failed", [418] = "I'm a teapot",
  [421] = "Misdirected request", [422] = "Unprocessable entity", [423] = "Locked",
  [424] = "Failed dependency", [425] = "Too early", [426] = "Upgrade required",
  [428] = "Precondition required", [429] = "Too many requests",
  [431] = "Request header fields too large", [451] = "Unavailable for legal reasons",
  [494] = "Request header or cookie too large", [500] = "An unexpected error occurred",
  [501] = "Not implemented", [502] = "An invalid response was received from the upstream server",
  [503] = "The upstream server is currently unavailable",
  [504] = "The upstream server is timing out", [505] = "HTTP version not supported",
  [506] = "Variant also negotiates", [507] = "Insufficient storage", [508] = "Loop detected",
  [510] = "Not extended", [511] = "Network authentication required",
}

local response = {}

function response.get_status()
  check(SEEN)
  return ngx.status
end

function response.get_header(name)
  check(SEEN)
  if type(name) ~= "string" then error("header name must be a string", 2) end
  local value = response.get_headers()[name]
  if type(value) == "table" then return value[1] end
  return value
end

function response.get_headers(most)
  check(SEEN)
  bodies.check_max("max_headers", most, 1, 1000)
  return ngx.resp.get_headers(most)
end

-- Who made it: "service" (an upstream), "exit" (a plugin), "error" (the gateway).
function response.get_source(ctx)
  if ctx == nil then
    check(SEEN)
    ctx = ngx.ctx
  end
  if ctx.KONG_UNEXPECTED then return TYPES.ERROR end
  if ctx.KONG_EXITED then return TYPES.EXIT end
  return ctx.KONG_PROXIED and TYPES.SERVICE or TYPES.ERROR
end

local function check_open()
  if ngx.headers_sent then error("headers have already been sent", 3) end
end

local function check_status(status, least)
  if type(status) ~= "number" then error("code must be a number", 3) end
  if status < least or status > 599 then
    error(format("code must be a number between %d and %d", least, 599), 3)
  end
end

function response.set_status(status)
  check(OPEN)
  check_open()
  check_status(status, 100)
  ngx.status = status
end

function response.set_header(name, value)
  check(OPEN)
  check_open()
  checks.validate_header(name, value)
  send.headers { [name] = value }
end

function response.add_header(name, value)
  check(OPEN)
  check_open()
  checks.validate_header(name, value)
  require("ngx.resp").add_header(name, checks.normalize_multi_header(value))
end

function response.clear_header(name)
  check(OPEN)
  check_open()
  if type(name) ~= "string" then error("header name must be a string", 2) end
  ngx.header[name] = nil
end

function response.set_headers(headers)
  check(OPEN)
  check_open()
  checks.validate_headers(headers)
  send.headers(headers)
end

-- Chunks are kept until the last; then the whole body, which is the last chunk.
function response.get_raw_body()
  check(PHASES.body_filter)
  local ctx, chunk, last = ngx.ctx, ngx.arg[1], ngx.arg[2]
  local key = ctx.KONG_PLUGIN or "body"
  local kept = ctx.KONG_BODY_BUFFERS
  if not kept then
    kept = {}
    ctx.KONG_BODY_BUFFERS = kept
  end
  if last and not kept[key] then return chunk end
  kept[key] = kept[key] or buffer.new()
  if type(chunk) == "string" then kept[key]:put(chunk) end
  if not last then
    ngx.arg[1] = nil
    return nil
  end
  local body = kept[key]:get()
  kept[key] = nil
  ngx.arg[1] = body
  return body
end

function response.set_raw_body(body)
  check(PHASES.body_filter)
  if type(body) ~= "string" then error("body must be a string", 2) end
  ngx.arg[1] = body
  ngx.arg[2] = true
  local kept = ngx.ctx.KONG_BODY_BUFFERS
  if kept then kept[ngx.ctx.KONG_PLUGIN or "body"] = nil end
end

-- Ends a plugin's phase: in access the answer waits until the plugin's coroutine has stopped for good.
local function answer(status, body, headers)
  local ctx = ngx.ctx
  ctx.KONG_EXITED = true
  if ctx.delay_response and not ctx.delayed_response then
    ctx.delayed_response = { status_code = status, content = body, headers = headers }
    ctx.delayed_response_callback = response.flush
    coroutine.yield()
    return
  end
  return send.all(status, body, headers)
end

-- Sends what waits.
function response.flush(ctx)
  local waiting = (ctx or ngx.ctx).delayed_response
  return send.all(waiting.status_code, waiting.content, waiting.headers)
end

local bodies_of_exit = { string = true, table = true, ["nil"] = true }

function response.exit(status, body, headers)
  check(OPEN)
  check_open()
  check_status(status, 100)
  if not bodies_of_exit[type(body)] then error("body must be a nil, string or table", 2) end
  if headers ~= nil then
    if type(headers) ~= "table" then error("headers must be a nil or table", 2) end
    checks.validate_headers(headers)
  end
  return answer(status, body, headers)
end

local function message_of(message)
  if type(message) == "table" then
    local text, why = cjson.encode(message)
    if not text then error("could not JSON encode the error message: " .. why, 3) end
    return text
  end
  if message ~= nil and type(message) ~= "string" then
    error("message must be a nil, a string or a table", 3)
  end
  return message
end

-- In the form that the client likes best.
function response.error(status, message, headers)
  check(OPEN)
  check_open()
  check_status(status, 400)
  message = message_of(message)
  if headers ~= nil then
    if type(headers) ~= "table" then error("headers must be a nil or table", 2) end
    checks.validate_headers(headers)
  else
    headers = {}
  end
  local media = headers["Content-Type"]
  if type(media) == "table" then media = media[1] end
  if media == nil then
    media = send.is_grpc_request() and "application/grpc"
      or tools.get_response_type(ngx.req.get_headers()["Accept"])
  end
  headers["Content-Type"] = media
  local body
  local template = media ~= "application/grpc" and tools.get_error_template(lower(media))
  if template then
    local text = message or messages[status]
      or format("The upstream server responded with %d", status)
    local id = require("kong.observability.tracing.request_id").get() or ""
    body = format(template, text, id)
  end
  return answer(status, body, headers)
end

return response
