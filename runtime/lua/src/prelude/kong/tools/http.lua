-- kong.tools.http: arguments, names, media types and error bodies.
local url = require "socket.url"
local strings = require "kong.tools.string"
local EMPTY = require("kong.tools.table").EMPTY

local type, pairs, ipairs, tostring, tonumber, error = type, pairs, ipairs, tostring, tonumber, error
local sort, concat, lower, max = table.sort, table.concat, string.lower, math.max
local re_match, re_gmatch = ngx.re.match, ngx.re.gmatch

local http = {}

http.CONTENT_TYPES = {
  CONTENT_TYPE = "Content-Type",
  CONTENT_TYPE_POST = "application/x-www-form-urlencoded",
  CONTENT_TYPE_JSON = "application/json",
  CONTENT_TYPE_FORM_DATA = "multipart/form-data",
}

-- Numbers first, then texts.
local function ordered(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) == "number"
  end)
  return keys
end

local function pair(key, value, raw)
  if not raw then key, value = url.escape(key), value ~= nil and url.escape(value) or nil end
  return value ~= nil and key .. "=" .. tostring(value) or key
end

local function encode_nested(out, prefix, map, raw, bare)
  for _, key in ipairs(ordered(map)) do
    local name
    if type(key) ~= "number" then
      name = prefix .. "." .. tostring(key)
    else
      name = prefix .. (bare and "[]" or "[" .. key .. "]")
    end
    local value = map[key]
    if type(value) == "table" then
      encode_nested(out, name, value, raw, bare)
    else
      out[#out + 1] = pair(name, tostring(value), raw)
    end
  end
end

-- A query: nested tables become `a.b` and `a[1]`.
function http.encode_args(args, raw, bare)
  local out = {}
  for _, key in ipairs(ordered(args)) do
    local value = args[key]
    if type(value) == "table" then
      encode_nested(out, key, value, raw, bare)
    elseif value == ngx.null then
      out[#out + 1] = pair(key, "")
    elseif value == "" then
      out[#out + 1] = key
    elseif value ~= nil then
      out[#out + 1] = pair(key, tostring(value), raw)
    end
  end
  return (concat(out, "&"))
end

local function as_array(map)
  local list, count = {}, 0
  for key in pairs(map) do
    if not tonumber(key) then return nil end
    count = count + 1
  end
  for index = 1, count do
    list[index] = map[tostring(index)] or map[index]
    if list[index] == nil then return nil end
  end
  return list
end

local plain = { ["true"] = true, ["false"] = false }

function http.decode_args(args)
  local out = {}
  for key, value in pairs(args) do
    if type(value) == "table" then
      value = as_array(value) or value
    elseif value == "" then
      value = ngx.null
    elseif plain[value] ~= nil then
      value = plain[value]
    end
    out[key] = value
  end
  return out
end

function http.check_https(trusted, terminated)
  if lower(ngx.var.scheme) == "https" then return true end
  if not terminated or not trusted then return false end
  local scheme = ngx.var.http_x_forwarded_proto
  if not scheme then return false end
  if scheme:find(",", 1, true) then return nil, "Only one X-Forwarded-Proto header allowed" end
  return lower(scheme) == "https"
end

function http.validate_http_token(token)
  if token == nil or token == "" then return nil, "no token provided" end
  if token:match("^[!#$%%&'*+%-.^_`|~%w]+$") then return token end
  return nil, "contains one or more invalid characters. ASCII control characters (0-31;127), space, "
    .. "tab and the characters ()<>@,;:\\\"/?={}[] are not allowed."
end
http.validate_cookie_name = http.validate_http_token

function http.validate_header_name(name)
  if name == nil or name == "" then return nil, "no header name provided" end
  if name:match("^[%w_%-]+$") then return name end
  return nil, "bad header name '" .. name
    .. "', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
end

local said = { [401] = "Unauthorized", [404] = "Not found", [503] = "Service unavailable" }
local always = {
  [405] = "Method not allowed", [500] = "An unexpected error occurred", [502] = "Bad gateway",
}

function http.get_default_exit_body(status, message)
  if type(status) ~= "number" then error("code must be a number", 2) end
  if status < 100 or status > 599 then error("code must be a number between 100 and 599", 2) end
  if status == 204 then return nil end
  local body = always[status] or message or said[status]
  if body ~= nil and type(body) ~= "table" then body = { message = body } end
  return body
end

-- Media types of errors, and what they look like: a message, a request's id.
local DEFAULT = "application/json; charset=utf-8"
local types = {
  ["application/grpc"] = "",
  ["text/html"] = "text/html; charset=utf-8",
  ["application/json"] = DEFAULT,
  ["text/plain"] = "text/plain; charset=utf-8",
  ["application/xml"] = "application/xml; charset=utf-8",
  application = DEFAULT,
  text = "text/plain; charset=utf-8",
}
local templates = {
  ["application/grpc"] = "",
  ["text/html"] = [[
<!doctype html>
<html>
  <head>
    <meta charset="utf-8">
    <title>Error</title>
  </head>
  <body>
    <h1>Error</h1>
    <p>%s.</p>
    <p>request_id: %s</p>
  </body>
</html>
]],
  ["application/json"] = '{\n  "message":"%s",\n  "request_id":"%s"\n}',
  ["text/plain"] = "%s\nrequest_id: %s\n",
  ["application/xml"] = [[
<?xml version="1.0" encoding="UTF-8"?>
<error>
  <message>%s</message>
  <requestid>%s</requestid>
</error>
]],
}

function http.get_mime_type(text, use_default)
  local name = strings.split_once(strings.strip(text), ";")
  local major, minor = strings.split_once(name, "/")
  local found
  if minor == "*" then
    found = major == "*" and DEFAULT or types[major]
  elseif minor then
    found = types[name]
  end
  if found then return found end
  if use_default == nil or use_default then return DEFAULT end
  return nil, "could not find MIME type"
end

local ACCEPT = [[^((?:[a-z0-9][a-z0-9\-!#$&^_+.]+|\*)/(?:[a-z0-9][a-z0-9\-!#$&^_+.]+|\*))(.*)$]]

-- What a client likes best of what we have.
function http.get_response_type(accept)
  if type(accept) == "table" then accept = concat(accept, ",") end
  local best, quality = DEFAULT, 0
  for part in strings.isplitn(accept, ",") do
    local found = re_match(strings.strip(part), ACCEPT, "jois")
    if found then
      local q = tonumber((found[2]:match(";%s*q%s*=%s*([%d.]+)"))) or 1
      if q > quality then
        quality = q
        best = http.get_mime_type(lower(found[1]))
      end
    end
  end
  return best
end

function http.get_error_template(mime)
  local name = mime and strings.split_once(mime, ";")
  local template = name and templates[name]
  if template then return template end
  return nil, "no template found for MIME type " .. (mime or "empty")
end

function http.get_header(name, ctx)
  local headers
  if ctx then
    headers = ctx.cached_request_headers or ngx.req.get_headers()
    ctx.cached_request_headers = headers
  else
    local value = ngx.var["http_" .. strings.replace_dashes(name)]
    -- A list looks like one value here.
    if not value or not value:find(", ", 1, true) then return value end
    headers = ngx.req.get_headers()
  end
  local value = headers[name]
  return type(value) == "table" and value[1] or value
end

-- Directives of `Cache-Control` and such, by their names in lower case.
function http.parse_directive_header(text)
  if not text then return EMPTY end
  if type(text) == "table" then text = concat(text, ", ") end
  local found = {}
  for part in re_gmatch(text, "([^,]+)", "oj") do
    local one = re_match(part[0], [[^\s*([^=]+)(?:=(.+))?]], "oj")
    if one then
      local value = one[2] or true
      found[lower(one[1])] = tonumber(value) or value
    end
  end
  return found
end

function http.calculate_resource_ttl(directives)
  local age = directives and (directives["s-maxage"] or directives["max-age"])
  if not age then
    local expires = ngx.var.sent_http_expires
    if type(expires) == "table" then expires = expires[#expires] end
    local at = ngx.parse_http_time(tostring(expires))
    age = at and at - ngx.time()
  end
  return age and max(age, 0) or 0
end

return http
