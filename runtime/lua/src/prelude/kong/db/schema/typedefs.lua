-- kong.db.schema.typedefs: kinds of fields that plugins name instead of spelling them out.
local Schema = require "kong.db.schema"
local constants = require "kong.constants"
local ip = require "kong.tools.ip"
local http = require "kong.tools.http"
local url = require "socket.url"
local validate_utf8 = require("kong.tools.string").validate_utf8

local null = ngx.null
local pairs, ipairs, tostring, error, setmetatable =
  pairs, ipairs, tostring, error, setmetatable

-- Hosts, addresses, paths.

local function bare_host(host)
  local found, why = ip.normalize_ip(host)
  if not found and why ~= "invalid port number" then return nil, "invalid value: " .. host end
  if not found or found.port then return nil, "must not have a port" end
  return true, found
end

local function no_port(host)
  local ok, found = bare_host(host)
  if not ok then return nil, found end
  return true
end

local function maybe_port(host)
  local found, why = ip.normalize_ip(host)
  if not found then return nil, why end
  return true
end

local function server_name(host)
  local ok, found = bare_host(host)
  if not ok then return nil, found end
  if found.type ~= "name" then return nil, "must not be an IP" end
  return true
end

local function wildcard_host(host)
  local star = host:find("*", 1, true)
  if star and star ~= 1 and star ~= #host then
    return nil, "wildcard must be leftmost or rightmost character"
  end
  local plain, count = host:gsub("%*", "wildcard")
  if count > 1 then return nil, "only one wildcard must be specified" end
  return server_name(plain)
end

local function checker(holds, text)
  return function(value)
    if holds(value) then return true end
    return nil, text:format(value)
  end
end

local PATH = "^/[%w%.%-_~/%%:@!%$&'%(%)%*%+,;=]*$"

local function is_path(path)
  if not path:match(PATH) then
    return nil, "invalid path: '" .. path
      .. "' (characters outside of the reserved list of RFC 3986 found)", "rfc3986"
  end
  local rest = path:gsub("%%%x%x", "")
  local bad = rest:match("%%.?.?")
  if bad then return nil, "invalid url-encoded value: '" .. bad .. "'", "percent" end
  return true
end

local function router_path(path)
  local _, why, kind = is_path(path)
  if kind == "percent" then return nil, why end
  if path:sub(1, 1) ~= "~" then
    local plain = require("kong.tools.uri").normalize(path, true)
    if path ~= plain then
      return nil, "non-normalized path, consider use '" .. plain .. "' instead"
    end
    return true
  end
  local _, _, wrong = ngx.re.find("", path:sub(2), "aj")
  if wrong then
    return nil, ("invalid regex: '%s' (PCRE returned: %s)"):format(path:sub(2), wrong)
  end
  return true
end

local function is_url(value)
  local parsed, why = url.parse(value)
  if not parsed then return nil, "could not parse url. " .. tostring(why) end
  if not parsed.host then return nil, "missing host in url" end
  if not parsed.scheme then return nil, "missing scheme in url" end
  return true
end

-- Names and texts.

local function utf8(value)
  local ok, place = validate_utf8(value)
  if ok then return true end
  return nil, "invalid utf-8 character sequence detected at position " .. tostring(place)
end

local function utf8_matching(pattern, text)
  return function(value)
    local ok, why = utf8(value)
    if not ok then return nil, why end
    if value:match(pattern) then return true end
    return nil, text:format(value)
  end
end

local is_tag = utf8_matching("^[ \033-\043\045\046\048-\126\128-\244]+$",
  "invalid tag '%s': expected printable ascii (except `,` and `/`) or valid utf-8 sequences")
local is_utf8_name = utf8_matching("^[%w%.%-%_~\128-\244]+$",
  "invalid value '%s': the only accepted ascii characters are alphanumerics or ., -, _, and ~")

local function is_name(value)
  if value:match("^[%w%.%-_~]+$") then return true end
  return nil, "invalid value '" .. value
    .. "': it must only contain alphanumeric and '., -, _, ~' characters"
end

-- Keys and certificates.

local function is_certificate(pem)
  local _, why = require("resty.openssl.x509").new(pem)
  if why then return nil, "invalid certificate: " .. why end
  return true
end

local function is_key(pem)
  local _, why = require("resty.openssl.pkey").new(pem)
  if why then return nil, "invalid key: " .. why end
  return true
end

local function is_jwk(text)
  if kong.vault.is_reference(text) then return true end
  local key = require("resty.openssl.pkey").new(text, { format = "JWK" })
  if key then return true end
  return false, "could not load JWK, likely not a valid key"
end

local function is_pair(pem)
  local public, private = pem.public_key, pem.private_key
  if kong.vault.is_reference(private) or kong.vault.is_reference(public) then return true end
  local new = require("resty.openssl.pkey").new
  for _, key in ipairs { { public, "pu", "public" }, { private, "pr", "private" } } do
    if key[1] and key[1] ~= null and not new(key[1], { format = "PEM", type = key[2] }) then
      return false, "could not load " .. key[3] .. " key"
    end
  end
  return true
end

local function lua_expression(code)
  return require("kong.tools.sandbox").validate_safe(code)
end

local typedefs = {}

local function define(name, definition) typedefs[name] = Schema.define(definition) end

local function text(name, check) define(name, { type = "string", custom_validator = check }) end

text("host", no_port)
text("redis_host", no_port)
text("host_with_optional_port", maybe_port)
text("wildcard_host", wildcard_host)
text("sni", server_name)
text("redis_server_name", server_name)
text("ip", checker(ip.is_valid_ip, "not an ip address: %s"))
text("ip_or_cidr", checker(ip.is_valid_ip_or_cidr, "invalid ip or cidr range: '%s'"))
text("cidr_v4", checker(ip.is_valid_ip_or_cidr_v4, "invalid ipv4 cidr range: '%s'"))
text("url", is_url)
text("cookie_name", http.validate_cookie_name)
text("header_name", http.validate_header_name)
text("certificate", is_certificate)
text("key", is_key)
typedefs.cidr = typedefs.cidr_v4

define("http_method", { type = "string", match = "^%u+$" })
define("protocol", { type = "string", one_of = constants.PROTOCOLS })
define("port", { type = "integer", between = { 0, 65535 } })
define("timeout", { type = "integer", between = { 0, 2 ^ 31 - 2 } })
define("ttl", { type = "number", between = { 0, constants.DATABASE.DAO_MAX_TTL } })
define("uuid", { type = "string", uuid = true, auto = true })
define("auto_timestamp_s", { type = "integer", timestamp = true, auto = true })
define("auto_timestamp_ms", { type = "number", timestamp = true, auto = true })
define("name", { type = "string", unique = true, custom_validator = is_name })
define("utf8_name", { type = "string", unique = true, custom_validator = is_utf8_name })
define("capability", { type = "string" })
define("path", {
  type = "string",
  starts_with = "/",
  match_none = { { pattern = "//", err = "must not have empty segments" } },
  custom_validator = is_path,
})
define("semantic_version", {
  type = "string",
  match_any = {
    patterns = { "^%d+[%.%d]*$", "^%d+[%.%d]*%-?.*$" },
    err = "invalid version number: must be in format of X.Y.Z",
  },
  match_none = { { pattern = "%.%.", err = "must not have empty version segments" } },
})
define("lua_code", {
  type = "map",
  keys = { type = "string", len_min = 1 },
  values = { type = "string", len_min = 1, custom_validator = lua_expression },
})

define("tag", { type = "string", required = true, custom_validator = is_tag })
define("tags", { type = "set", elements = typedefs.tag })

for name, entity in pairs {
  no_route = "routes", no_service = "services", no_consumer = "consumers",
  no_consumer_group = "consumer_groups",
} do
  define(name, { type = "foreign", reference = entity, eq = null })
end

local http_protocols = {}
for protocol, subsystem in pairs(constants.PROTOCOLS_WITH_SUBSYSTEM) do
  if subsystem == "http" then http_protocols[#http_protocols + 1] = protocol end
end
table.sort(http_protocols)
define("protocols", {
  type = "set", required = true, default = http_protocols, elements = typedefs.protocol,
})
define("protocols_http", {
  type = "set", required = true, default = http_protocols,
  elements = { type = "string", one_of = http_protocols },
})

-- What routes have; plugins of one kind of traffic say that they have none of it.

local endpoints = {
  type = "set",
  elements = {
    type = "record",
    fields = { { ip = typedefs.ip_or_cidr }, { port = typedefs.port } },
    entity_checks = { { at_least_one_of = { "ip", "port" } } },
  },
}
define("router_path", {
  type = "string",
  match_any = {
    patterns = { "^/", "^~/" },
    err = "should start with: / (fixed path) or ~/ (regex path)",
  },
  match_none = { { pattern = "//", err = "must not have empty segments" } },
  custom_validator = router_path,
})

local function with_none(name, none, definition)
  define(name, definition)
  typedefs[none] = Schema.define(typedefs[name] { eq = null })
end

local function copy_of(definition)
  local copy = {}
  for key, value in pairs(definition) do copy[key] = value end
  return copy
end

with_none("sources", "no_sources", endpoints)
with_none("destinations", "no_destinations", copy_of(endpoints))
with_none("methods", "no_methods", { type = "set", elements = typedefs.http_method })
with_none("router_paths", "no_paths", { type = "array", elements = typedefs.router_path })
with_none("headers", "no_headers", {
  type = "map",
  keys = typedefs.header_name,
  values = { type = "array", elements = { type = "string" } },
})
with_none("hosts", "no_hosts", {
  type = "array",
  elements = {
    type = "string",
    match_all = { {
      pattern = "^[^*]*%*?[^*]*$",
      err = "invalid wildcard: must have at most one wildcard",
    } },
    match_any = {
      patterns = { "^%*%.", "%.%*$", "^[^*]*$" },
      err = "invalid wildcard: must be placed at leftmost or rightmost label",
    },
    custom_validator = function(host) return maybe_port((host:gsub("%*", "abc"))) end,
  },
})

define("pem", {
  type = "record",
  required = false,
  fields = {
    { private_key = { type = "string", required = false, referenceable = true, encrypted = true } },
    { public_key = { type = "string", required = false, referenceable = true } },
  },
  entity_checks = { { at_least_one_of = { "private_key", "public_key" } } },
  custom_validator = is_pair,
})
text("jwk", is_jwk)

typedefs.queue = require "kong.tools.queue_schema"

-- A slip in a plugin's schema is told where it is made.
return setmetatable(typedefs, {
  __index = function(_, name)
    if name == "propagation" then
      return require "kong.observability.tracing.propagation.schema"
    end
    error("schema typedef error: definition " .. tostring(name) .. " does not exist", 2)
  end,
})
