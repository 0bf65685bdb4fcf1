-- pl.stringx: the functions that plugins use of it.
local tostring, type, error, unpack = tostring, type, error, unpack
local find, sub, rep = string.find, string.sub, string.rep
local split_plain = require("pl.utils").split

local stringx = {}

function stringx.join(separator, list)
  local parts = {}
  for index = 1, #list do parts[index] = tostring(list[index]) end
  return (table.concat(parts, separator))
end

local function text_of(value)
  if type(value) ~= "string" then
    error("argument 1 expected a 'string' got a '" .. type(value) .. "'", 3)
  end
  return value
end

local function trim(left, right)
  return function(text, characters)
    text_of(text)
    local set = characters and "[" .. characters:gsub("[%W]", "%%%0") .. "]" or "%s"
    local from = left and (text:match("^" .. set .. "*()") or 1) or 1
    local to = #text
    while right and to >= from and find(sub(text, to, to), "^" .. set) do to = to - 1 end
    return (sub(text, from, to))
  end
end
stringx.strip, stringx.lstrip, stringx.rstrip = trim(true, true), trim(true, false), trim(false, true)

function stringx.split(text, separator, most)
  text_of(text)
  if not separator then return split_plain(stringx.lstrip(text), nil, false, most) end
  local parts = split_plain(text, separator, true, most)
  local ends = separator ~= "" and #text >= #separator and sub(text, -#separator) == separator
  if ends and #parts < (most or math.huge) then parts[#parts + 1] = "" end
  return parts
end

function stringx.splitv(text, separator)
  return unpack(stringx.split(text, separator))
end

function stringx.splitlines(text, keep)
  local lines = {}
  for line, ending in text_of(text):gmatch("([^\r\n]*)(\r?\n?)") do
    if line ~= "" or ending ~= "" then lines[#lines + 1] = keep and line .. ending or line end
  end
  return lines
end

local function any(holds)
  return function(text, what)
    text_of(text)
    if type(what) ~= "table" then return holds(text, what) end
    for index = 1, #what do
      if holds(text, what[index]) then return true end
    end
    return false
  end
end
stringx.startswith = any(function(text, with) return sub(text, 1, #with) == with end)
stringx.endswith = any(function(text, with) return with == "" or sub(text, -#with) == with end)

function stringx.count(text, what)
  local count, at = 0, 1
  while what ~= "" do
    local _, to = find(text, what, at, true)
    if not to then break end
    count, at = count + 1, to + 1
  end
  return count
end

function stringx.replace(text, old, new, most)
  local parts, at, done = {}, 1, 0
  while old ~= "" and done < (most or math.huge) do
    local from, to = find(text, old, at, true)
    if not from then break end
    parts[#parts + 1] = sub(text, at, from - 1)
    parts[#parts + 1] = new
    at, done = to + 1, done + 1
  end
  parts[#parts + 1] = sub(text, at)
  return (table.concat(parts))
end

-- What is before a separator, the separator, what is behind.
function stringx.partition(text, separator)
  local from, to = find(text, separator, 1, true)
  if not from then return text, "", "" end
  return sub(text, 1, from - 1), sub(text, from, to), sub(text, to + 1)
end

function stringx.rpartition(text, separator)
  local last, at = nil, 1
  while true do
    local from = find(text, separator, at, true)
    if not from then break end
    last, at = from, from + 1
  end
  if not last then return "", "", text end
  return sub(text, 1, last - 1), separator, sub(text, last + #separator)
end

local function filled(text, width, fill) return (rep(fill or " ", math.max(width - #text, 0))) end
function stringx.ljust(text, width, fill) return text .. filled(text, width, fill) end
function stringx.rjust(text, width, fill) return filled(text, width, fill) .. text end

for name, pattern in pairs {
  isalpha = "^%a+$", isdigit = "^%d+$", isalnum = "^%w+$", isspace = "^%s+$", isupper = "^[%u%s]+$",
  islower = "^[%l%s]+$",
} do
  stringx[name] = function(text) return find(text_of(text), pattern) == 1 end
end

function stringx.lfind(text, what, from, to)
  local at, last = find(text, what, from or 1, true)
  if at and (not to or last <= to) then return at end
  return nil
end

function stringx.at(text, index) return (sub(text, index, index)) end
function stringx.lines(text)
  local lines, index = stringx.splitlines(text), 0
  return function()
    index = index + 1
    return lines[index]
  end
end

function stringx.title(text)
  return (text:gsub("(%S)(%S*)", function(first, rest) return first:upper() .. rest:lower() end))
end

return stringx
