-- kong.tools.ip: addresses, CIDR ranges and host names.
local matcher = require "resty.ipmatcher"
local strings = require "kong.tools.string"

local type, tonumber, ipairs, lower, format = type, tonumber, ipairs, string.lower, string.format
local parse_ipv4, parse_ipv6 = matcher.parse_ipv4, matcher.parse_ipv6

local ip = {}

function ip.is_valid_ipv4(text) return type(text) == "string" and parse_ipv4(text) and true or false end
function ip.is_valid_ipv6(text) return type(text) == "string" and parse_ipv6(text) and true or false end
function ip.is_valid_ip(text) return ip.is_valid_ipv4(text) or ip.is_valid_ipv6(text) end

local function cidr(is_address, most)
  return function(text)
    if type(text) ~= "string" then return false end
    local address, bits = text:match("^([^/]*)/(%d+)$")
    if not address or bits:match("^0%d") then return false end
    return tonumber(bits) <= most and is_address(address)
  end
end
ip.is_valid_cidr_v4, ip.is_valid_cidr_v6 = cidr(ip.is_valid_ipv4, 32), cidr(ip.is_valid_ipv6, 128)
function ip.is_valid_cidr(text) return ip.is_valid_cidr_v4(text) or ip.is_valid_cidr_v6(text) end
function ip.is_valid_ip_or_cidr_v4(text)
  return ip.is_valid_ipv4(text) or ip.is_valid_cidr_v4(text)
end
function ip.is_valid_ip_or_cidr_v6(text)
  return ip.is_valid_ipv6(text) or ip.is_valid_cidr_v6(text)
end
function ip.is_valid_ip_or_cidr(text) return ip.is_valid_ip(text) or ip.is_valid_cidr(text) end

-- What a text can only be, if it is anything.
function ip.hostname_type(text)
  local bare, colons = text:gsub(":", "")
  if colons > 1 then return "ipv6" end
  return bare:match("^[%d.]+$") and "ipv4" or "name"
end

local function port_of(digits)
  if digits == nil then return true, nil end
  local port = tonumber(digits)
  return port ~= nil and port <= 65535, port
end

function ip.normalize_ipv4(text)
  local bad = "invalid ipv4 address: " .. text
  local address, digits = text:match("^([%d.]+):(%d+)$")
  local a, b, c, d =
    (address or text):match("^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$")
  if not a then return nil, bad end
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  if a > 255 or b > 255 or c > 255 or d > 255 then return nil, bad end
  local ok, port = port_of(digits)
  if not ok then return nil, "invalid port number" end
  return format("%d.%d.%d.%d", a, b, c, d), port
end

-- All eight groups, four digits each.
local function expand(text)
  local head, tail = text:match("^(.-)::(.*)$")
  local groups = {}
  local function add(part)
    for group in part:gmatch("[^:]+") do groups[#groups + 1] = group end
  end
  add(head or text)
  if head then
    local behind = 0
    for _ in tail:gmatch("[^:]+") do behind = behind + 1 end
    for _ = #groups + behind + 1, 8 do groups[#groups + 1] = "0" end
    add(tail)
  end
  if #groups ~= 8 or text:find(":::", 1, true) or tail and tail:find("::", 1, true) then return nil end
  for index, group in ipairs(groups) do
    if not group:match("^%x%x?%x?%x?$") then return nil end
    groups[index] = ("0"):rep(4 - #group) .. lower(group)
  end
  return (table.concat(groups, ":"))
end

function ip.normalize_ipv6(text)
  local inner, behind = text:match("^%[(.*)%](.*)$")
  local digits
  if behind and behind ~= "" then
    digits = behind:match("^:(%d+)$")
    if not digits then return nil, "invalid ipv6 address" end
  end
  local ok, port = port_of(digits)
  if not ok then return nil, "invalid port number" end
  local full = expand(inner or text)
  if not full then return nil, "invalid ipv6 address: " .. text end
  return full, port
end

function ip.check_hostname(text)
  local bad = "invalid hostname: " .. text
  local name, digits = text:match("^(.*):(%d+)$")
  local ok, port = port_of(digits)
  if not ok then return nil, "invalid port number" end
  name = name or text
  if not name:match("^[%w%-._]+$") then return nil, bad end
  local segments, count = strings.splitn(name, ".")
  for index = 1, count do
    local segment = segments[index]
    if segment:sub(-1) == "-" or segment == "" and index ~= count then return nil, bad end
  end
  return name, port
end

local normalizers = { ipv4 = ip.normalize_ipv4, ipv6 = ip.normalize_ipv6, name = ip.check_hostname }

function ip.normalize_ip(text)
  local kind = ip.hostname_type(text)
  local host, port = normalizers[kind](text)
  if not host then return nil, port end
  return { type = kind, host = host, port = port }
end

-- For a URL. Takes what `normalize_ip` answers too, its failures included.
function ip.format_host(host, port)
  local kind
  if host == nil then return nil, port end
  if type(host) == "table" then
    host, port, kind = host.host, host.port or port, host.type
  elseif type(host) ~= "string" then
    return nil, "cannot format type '" .. type(host) .. "'"
  end
  kind = kind or ip.hostname_type(host)
  if kind == "ipv6" and not host:find("[", 1, true) then
    host = "[" .. ip.normalize_ipv6(host) .. "]"
  end
  return port and host .. ":" .. port or host
end

return ip
