-- kong.tools.string
local stringx = require "pl.stringx"

local type, ipairs, tostring, tonumber, error = type, ipairs, tostring, tonumber, error
local lower, sub, find, gsub, huge = string.lower, string.sub, string.find, string.gsub, math.huge

local strings = { join = stringx.join, split = stringx.split }

local function split_at(plain)
  return function(value, separator)
    if value == nil then return nil, nil end
    if separator == nil then return value, nil end
    if separator == "" then return "", value end
    local from, to = find(value, separator, 1, plain)
    if not from then return value, nil end
    return sub(value, 1, from - 1), sub(value, to + 1)
  end
end
strings.split_once, strings.psplit_once = split_at(true), split_at(false)

-- Around every character, with an empty piece on either side.
local function characters(value, limit)
  local parts = { "" }
  for place = 1, #value do
    if #parts + 1 >= limit then break end
    parts[#parts + 1] = sub(value, place, place)
  end
  parts[#parts + 1] = sub(value, #parts)
  return parts, #parts
end

local function splitter(plain)
  return function(value, separator, limit)
    limit = limit or huge
    if limit < 1 or value == nil then return {}, 0 end
    if limit == 1 or separator == nil then return { value }, 1 end
    if separator == "" then return characters(value, limit) end
    local parts, at = {}, 1
    while #parts + 1 < limit do
      local from, to = find(value, separator, at, plain)
      if not from then break end
      parts[#parts + 1] = sub(value, at, from - 1)
      at = to + 1
    end
    parts[#parts + 1] = sub(value, at)
    return parts, #parts
  end
end
strings.splitn, strings.psplitn = splitter(true), splitter(false)

local function iterator(split)
  return function(...)
    local parts, count = split(...)
    local index = 0
    return function()
      index = index + 1
      if index <= count then return parts[index] end
      return nil
    end
  end
end
strings.isplitn, strings.ipsplitn = iterator(strings.splitn), iterator(strings.psplitn)

function strings.strip(value)
  if value == nil then return "" end
  value = tostring(value)
  local from = find(value, "[^ \t-\r]")
  if not from then return "" end
  local to = #value
  while find(value, "^[ \t-\r]", to) do to = to - 1 end
  return (sub(value, from, to))
end

-- The lengths of well-formed sequences by what they begin with.
local sequences = {
  { "^[%z\1-\127]", 1 },
  { "^[\194-\223][\128-\191]", 2 },
  { "^\224[\160-\191][\128-\191]", 3 },
  { "^[\225-\236\238\239][\128-\191][\128-\191]", 3 },
  { "^\237[\128-\159][\128-\191]", 3 },
  { "^\240[\144-\191][\128-\191][\128-\191]", 4 },
  { "^[\241-\243][\128-\191][\128-\191][\128-\191]", 4 },
  { "^\244[\128-\143][\128-\191][\128-\191]", 4 },
}

function strings.validate_utf8(value)
  local text = tostring(value)
  local place = 1
  while place <= #text do
    local length
    for _, sequence in ipairs(sequences) do
      if find(text, sequence[1], place) then
        length = sequence[2]
        break
      end
    end
    if not length then return false, place end
    place = place + length
  end
  return true
end

local units = { k = { 2 ^ 10, " KiB" }, m = { 2 ^ 20, " MiB" }, g = { 2 ^ 30, " GiB" } }

function strings.bytes_to_str(bytes, unit, scale)
  local name = lower(unit or "")
  if name == "" or name == "b" then return (("%d"):format(bytes)) end
  scale = scale or 2
  if type(scale) ~= "number" or scale < 0 then
    error("scale must be equal or greater than 0", 2)
  end
  local size = units[name]
  if not size then
    error("invalid unit '" .. unit .. "' (expected 'k/K', 'm/M', or 'g/G')", 2)
  end
  return ("%." .. scale .. "f"):format(bytes / size[1]) .. size[2]
end

function strings.parse_ngx_size(text)
  if type(text) ~= "string" then error("Parameter #1 must be a string", 2) end
  local size = units[lower(sub(text, -1))]
  local number = tonumber(size and sub(text, 1, -2) or text) or 0
  return number * (size and size[1] or 1)
end

local function decoded(text)
  if type(text) ~= "string" then return nil end
  return ngx.decode_base64(text) or require("ngx.base64").decode_base64url(text)
end

function strings.try_decode_base64(value)
  if type(value) == "table" then
    for index, text in ipairs(value) do value[index] = decoded(text) or text end
    return value
  end
  return decoded(value) or value
end

function strings.replace_dashes(text) return (gsub(text, "-", "_")) end
function strings.replace_dashes_lower(text) return (gsub(lower(text), "-", "_")) end

return strings
