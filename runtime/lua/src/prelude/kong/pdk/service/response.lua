-- kong.service.response: what the upstream answered.
local phase = require "kong.pdk.private.phases"
local bodies = require "kong.pdk.private.body"

local check, PHASES = phase.check, phase.phases
local type, error, tonumber = type, error, tonumber

local SEEN = phase.new(PHASES.response, PHASES.header_filter, PHASES.body_filter, PHASES.log)

local response = {}

function response.get_status()
  check(SEEN)
  local kept = ngx.ctx.buffered_status
  if kept then return kept end
  return (tonumber((ngx.var.upstream_status or ""):match("(%d%d%d)$")))
end

function response.get_headers(most)
  check(SEEN)
  bodies.check_max("max_headers", most, 1, 1000)
  return ngx.ctx.buffered_headers or ngx.resp.get_headers(most)
end

function response.get_header(name)
  check(SEEN)
  if type(name) ~= "string" then error("name must be a string", 2) end
  local value = response.get_headers()[name]
  if type(value) == "table" then return value[1] end
  return value
end

local function check_buffered()
  if not ngx.ctx.buffered_proxying then
    error("service body is only available with buffered proxying "
      .. "(see: kong.service.request.enable_buffering function)", 3)
  end
end

function response.get_raw_body()
  check(SEEN)
  check_buffered()
  return ngx.ctx.buffered_body or ""
end

function response.get_body(mime, most)
  check(SEEN)
  check_buffered()
  bodies.check_max("max_args", most, 1, 1000)
  local function raw() return ngx.ctx.buffered_body or "" end
  return bodies.decode(mime or response.get_header "Content-Type", raw, function()
    return ngx.decode_args(raw(), most or 100)
  end)
end

return response
