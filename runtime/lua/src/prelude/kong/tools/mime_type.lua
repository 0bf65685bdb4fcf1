-- kong.tools.mime_type: media types and what they include.
local type, error, lower, find = type, error, string.lower, string.find

local TOKEN = "[%w!#$%%&'*+%-.^_`{|}~]+"

-- The value at a place: a token, or a quoted text without its quotes; and what comes behind.
local function value_at(text, at)
  local token, behind = text:match("^(" .. TOKEN .. ")()", at)
  if token then return token, behind end
  local from = at + 1
  if text:sub(at, at) ~= '"' then return nil end
  at = from
  while true do
    at = find(text, '["\\]', at)
    if not at then return nil end
    if text:sub(at, at) == '"' then return text:sub(from, at - 1), at + 1 end
    at = at + 2
  end
end

-- Type, subtype and parameters by their names in lower case; nothing when it is not a media type.
local function parse_mime_type(text)
  local major, minor, at = text:match("^(" .. TOKEN .. ")/(" .. TOKEN .. ")()")
  if not major then
    at = text:match("^%*()")
    if not at then return nil end
    major, minor = "*", "*"
  end
  local parameters = {}
  while at <= #text do
    local name, begin = text:match("^[ \t]*;[ \t]*(" .. TOKEN .. ")=()", at)
    if not name then return nil end
    local value, behind = value_at(text, begin)
    if not value then return nil end
    parameters[lower(name)] = value
    at = behind
  end
  return lower(major), lower(minor), parameters
end

local function includes(this, other)
  if type(this) ~= "table" then error("this must be a table", 2) end
  if type(other) ~= "table" then error("other must be a table", 2) end
  if this.type == "*" then return true end
  if this.type ~= other.type then return false end
  if this.subtype == other.subtype or this.subtype == "*" then return true end
  -- "json" includes "problem+json".
  local suffix = "+" .. this.subtype
  return not find(this.subtype, "+", 1, true) and other.subtype:sub(-#suffix) == suffix
end

return { parse_mime_type = parse_mime_type, includes = includes }
