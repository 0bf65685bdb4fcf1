-- socket.url: URLs taken apart and put together (RFC 3986).
local type, pairs, tonumber = type, pairs, tonumber
local byte, char, format = string.byte, string.char, string.format

local url = { _VERSION = "URL 1.0.3" }

function url.escape(text)
  return (text:gsub("[^A-Za-z0-9_]", function(odd) return (format("%%%02x", byte(odd))) end))
end

function url.unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return (char(tonumber(hex, 16))) end))
end

local function take_authority(parsed, authority)
  parsed.authority = authority
  local info, rest = authority:match("^([^@]*)@(.*)$")
  if info then
    parsed.userinfo = info
    local user, password = info:match("^(.*):([^:]*)$")
    parsed.user, parsed.password = user or info, password
    authority = rest
  end
  local host, port = authority:match("^(.*):([^:%]]*)$")
  if host then
    authority = host
    if port ~= "" then parsed.port = port end
  end
  -- IPv6 stands in brackets.
  if authority ~= "" then parsed.host = authority:match("^%[(.+)%]$") or authority end
end

function url.parse(text, default)
  local parsed = {}
  for key, value in pairs(default or {}) do parsed[key] = value end
  if not text or text == "" then return nil, "invalid url" end
  local rest, fragment = text:match("^(.-)#(.*)$")
  if rest then parsed.fragment, text = fragment, rest end
  local scheme
  scheme, rest = text:match("^([%w][%w%+%-%.]*):(.*)$")
  if scheme then parsed.scheme, text = scheme, rest end
  local authority
  authority, rest = text:match("^//([^/?]*)(.*)$")
  if authority then text = rest end
  local query
  rest, query = text:match("^(.-)%?(.*)$")
  if rest then parsed.query, text = query, rest end
  local params
  rest, params = text:match("^(.-);(.*)$")
  if rest then parsed.params, text = params, rest end
  if text ~= "" then parsed.path = text end
  if authority then take_authority(parsed, authority) end
  return parsed
end

local function authority_of(parsed)
  if not parsed.host then return parsed.authority end
  local host = parsed.host
  if host:find(":", 1, true) then host = "[" .. host .. "]" end
  if parsed.port then host = host .. ":" .. parsed.port end
  local info = parsed.userinfo
  if parsed.user then
    info = parsed.password and parsed.user .. ":" .. parsed.password or parsed.user
  end
  return info and info .. "@" .. host or host
end

function url.build(parsed)
  local text = parsed.path or ""
  if parsed.params then text = text .. ";" .. parsed.params end
  if parsed.query then text = text .. "?" .. parsed.query end
  local authority = authority_of(parsed)
  if authority then
    if text ~= "" and text:sub(1, 1) ~= "/" then text = "/" .. text end
    text = "//" .. authority .. text
  end
  if parsed.scheme then text = parsed.scheme .. ":" .. text end
  if parsed.fragment then text = text .. "#" .. parsed.fragment end
  return text
end

-- `.` and `..` gone, as a reference is resolved.
local function without_dots(path)
  local out, rooted = {}, path:sub(1, 1) == "/"
  local last
  for segment in path:gmatch("[^/]*") do
    if segment == ".." then
      out[#out] = nil
    elseif segment ~= "." and segment ~= "" then
      out[#out + 1] = segment
    end
    last = segment ~= "" and segment or last
  end
  local text = (rooted and "/" or "") .. table.concat(out, "/")
  local folder = path:sub(-1) == "/" or last == "." or last == ".."
  return folder and #out > 0 and text .. "/" or text
end

local function absolute_path(base, path)
  if path:sub(1, 1) == "/" then return without_dots(path) end
  return without_dots((base:match("^(.*/)") or "") .. path)
end

function url.absolute(base, relative)
  if type(base) == "table" then base = url.build(base) end
  local from, to = url.parse(base), url.parse(relative)
  if not from then return relative end
  if not to then return base end
  if to.scheme then return relative end
  to.scheme = from.scheme
  if not to.authority then
    to.authority, to.host, to.port = from.authority, from.host, from.port
    to.userinfo, to.user, to.password = from.userinfo, from.user, from.password
    if not to.path then
      to.path = from.path
      if not to.params then
        to.params = from.params
        to.query = to.query or from.query
      end
    else
      to.path = absolute_path(from.path or "/", to.path)
    end
  end
  return url.build(to)
end

function url.parse_path(path)
  local parsed = {}
  for segment in (path or ""):gmatch("[^/]+") do parsed[#parsed + 1] = url.unescape(segment) end
  parsed.is_absolute = (path or ""):sub(1, 1) == "/" and 1 or nil
  parsed.is_directory = (path or ""):sub(-1) == "/" and 1 or nil
  return parsed
end

function url.build_path(parsed, unsafe)
  local parts = {}
  for index = 1, #parsed do parts[index] = unsafe and parsed[index] or url.escape(parsed[index]) end
  local text = table.concat(parts, "/")
  if parsed.is_directory and text ~= "" then text = text .. "/" end
  return parsed.is_absolute and "/" .. text or text
end

return url
