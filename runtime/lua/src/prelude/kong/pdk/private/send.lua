-- What a plugin answers, onto the wire: JSON of tables, gRPC's own status and message.
local cjson = require "cjson.safe"
local checks = require "kong.pdk.private.checks"
local PHASES = require("kong.pdk.private.phases").phases
local _, dialect = ...

local type, error, pairs, lower, find = type, error, pairs, string.lower, string.find

local GRPC = "application/grpc"

-- Statuses of gRPC for those of HTTP; others by their hundreds.
local grpc_statuses = {
  [200] = 0, [400] = 3, [401] = 16, [403] = 7, [404] = 5, [409] = 6, [429] = 8, [499] = 1,
  [500] = 13, [501] = 12, [503] = 14, [504] = 4,
}
local UNKNOWN = 2
local grpc_messages = {
  [0] = "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
  "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
  "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
}

local send = {}

function send.is_grpc_request()
  local media = ngx.var.content_type
  return media and find(media, GRPC, 1, true) == 1 and ngx.req.http_version() == 2 or false
end

local function is_framing(name)
  return name == "transfer-encoding" or name == "transfer_encoding"
end

-- Sets headers; which of the two that we set ourselves were among them.
function send.headers(headers)
  local has_type, has_length = false, false
  for name, value in pairs(headers or {}) do
    local plain = lower(name):gsub("_", "-")
    if is_framing(plain) then
      kong.log.warn("manually setting Transfer-Encoding. Ignored.")
    else
      ngx.header[name] = checks.normalize_multi_header(value)
    end
    has_type = has_type or plain == "content-type"
    has_length = has_length or plain == "content-length"
  end
  return has_type, has_length
end

send.is_framing = is_framing

-- The status that a gRPC client reads, where nobody has set one.
local function grpc_status(status)
  if ngx.header["grpc-status"] then return nil end
  local hundred = status - status % 100
  local known = (hundred == 200 or hundred == 400 or hundred == 500) and grpc_statuses[hundred]
  local made = grpc_statuses[status] or known or UNKNOWN
  ngx.header["grpc-status"] = made
  return made
end

local function text_of(body, is_grpc, answers_grpc)
  if type(body) ~= "table" then return body end
  if is_grpc then
    if answers_grpc then error("table body encoding with gRPC is not supported", 3) end
    if type(body.message) == "string" then return body.message end
    kong.log.warn("body was removed because table body encoding with gRPC is not supported")
    return nil
  end
  local json, why = cjson.encode(body)
  if not json then error("body encoding failed while flushing response: " .. why, 3) end
  return json, true
end

-- While headers are on their way the body takes the place of the one behind them; else it is sent.
local function out(text)
  local phase = ngx.ctx.KONG_PHASE
  if phase == PHASES.header_filter or phase == PHASES.response then
    dialect.response():set_body(text)
    return ngx.exit(ngx.OK)
  end
  ngx.print(text)
  return ngx.exit(ngx.status)
end

function send.all(status, body, headers)
  ngx.status = status
  local has_type, has_length = send.headers(headers)
  local media = ngx.header["Content-Type"]
  local answers_grpc = media ~= nil and find(media, GRPC, 1, true) == 1
  local is_grpc = answers_grpc or media == nil and send.is_grpc_request()
  local made = is_grpc and grpc_status(status)
  local text, is_json = text_of(body, is_grpc, answers_grpc)
  if is_json and not has_type then
    ngx.header["Content-Type"] = "application/json; charset=utf-8"
  end
  if text ~= nil and is_grpc and not answers_grpc then
    ngx.header["Content-Length"] = 0
    ngx.header["grpc-message"] = text
    return out("")
  end
  if not has_length then ngx.header["Content-Length"] = text and #text or 0 end
  if made and not ngx.header["grpc-message"] then
    ngx.header["grpc-message"] = grpc_messages[made]
  end
  return out(text or "")
end

return send
