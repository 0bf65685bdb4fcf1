-- resty.ipmatcher: whether an address is in any of a list of addresses and ranges.
local type, tonumber, ipairs, setmetatable, floor = type, tonumber, ipairs, setmetatable, math.floor
local byte = string.byte

local matcher = {}

-- An address as a list of 16-bit words; false when it is none.
local function ipv4_words(text)
  local a, b, c, d = text:match("^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$")
  if not a then return false end
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  if a > 255 or b > 255 or c > 255 or d > 255 then return false end
  return { a * 256 + b, c * 256 + d }
end

local function groups(text, words)
  if text == "" then return true end
  if byte(text, -1) == 58 then return false end
  for group in (text .. ":"):gmatch("([^:]*):") do
    if group:find(".", 1, true) then
      local tail = ipv4_words(group)
      -- An IPv4 address may only be the end.
      if not tail or text:sub(-#group) ~= group then return false end
      words[#words + 1], words[#words + 2] = tail[1], tail[2]
    elseif group:match("^%x%x?%x?%x?$") then
      words[#words + 1] = tonumber(group, 16)
    else
      return false
    end
  end
  return true
end

local function ipv6_words(text)
  local inner = text:match("^%[(.*)%]$") or text
  local words, tail = {}, {}
  local head, rest = inner:match("^(.-)::(.*)$")
  if not head then
    return inner:find(":", 1, true) and groups(inner, words) and #words == 8 and words or false
  end
  if not groups(head, words) or not groups(rest, tail) or #words + #tail > 7 then return false end
  for _ = #words + #tail + 1, 8 do words[#words + 1] = 0 end
  for _, word in ipairs(tail) do words[#words + 1] = word end
  return words
end

function matcher.parse_ipv4(text)
  if type(text) ~= "string" then return false end
  local words = ipv4_words(text)
  return words and words[1] * 65536 + words[2] or false
end

function matcher.parse_ipv6(text)
  if type(text) ~= "string" then return false end
  return ipv6_words(text)
end

-- A range as a key: its first words whole, the bits of the next.
local function key_of(words, bits)
  local whole = floor(bits / 16)
  local left = bits - whole * 16
  local parts = {}
  for index = 1, whole do parts[index] = words[index] end
  if left > 0 then
    local unit = 2 ^ (16 - left)
    parts[whole + 1] = words[whole + 1] - words[whole + 1] % unit
  end
  return (table.concat(parts, ":"))
end

-- A list's own families: { bits in use, most first; ranges by bits and key }.
local function family() return { sizes = {}, by_size = {} } end

local function add(into, words, bits, value)
  local keys = into.by_size[bits]
  if not keys then
    keys = {}
    into.by_size[bits] = keys
    into.sizes[#into.sizes + 1] = bits
    table.sort(into.sizes, function(a, b) return a > b end)
  end
  local key = key_of(words, bits)
  if keys[key] == nil then keys[key] = value end
end

local Matcher = {}
Matcher.__index = Matcher

local function put(self, text, value)
  local address, bits = text:match("^([^/]+)/(%d+)$")
  address = address or text
  local words, most, into = ipv4_words(address), 32, self.v4
  if not words then words, most, into = ipv6_words(address), 128, self.v6 end
  bits = bits and tonumber(bits) or most
  if not words or bits > most then return false end
  add(into, words, bits, value)
  return true
end

local function build(list, value_of)
  local self = setmetatable({ v4 = family(), v6 = family() }, Matcher)
  for key, one in pairs(list) do
    local text, value = value_of(key, one)
    if type(text) ~= "string" or not put(self, text, value) then
      return nil, "invalid ip address: " .. tostring(text)
    end
  end
  return self
end

function matcher.new(list)
  return build(list, function(_, text) return text, true end)
end

function matcher.new_with_value(map)
  return build(map, function(text, value) return text, value end)
end

local function look(into, words)
  for _, bits in ipairs(into.sizes) do
    local value = into.by_size[bits][key_of(words, bits)]
    if value ~= nil then return value end
  end
  return false
end

function Matcher:match(text)
  if type(text) ~= "string" then return nil, "invalid ip address, not ipv4 and ipv6" end
  local words = ipv4_words(text)
  if words then return look(self.v4, words) end
  words = ipv6_words(text)
  if words then return look(self.v6, words) end
  return false, "invalid ip address, not ipv4 and ipv6"
end

-- As bytes, of nginx's `$binary_remote_addr`.
function Matcher:match_bin(bytes)
  local words = {}
  for at = 1, #bytes, 2 do words[#words + 1] = byte(bytes, at) * 256 + (byte(bytes, at + 1) or 0) end
  if #bytes == 4 then return look(self.v4, words) end
  if #bytes == 16 then return look(self.v6, words) end
  return false, "invalid ip address, not ipv4 and ipv6"
end

return matcher
