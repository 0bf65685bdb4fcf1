-- kong.pdk.private.checks: headers that plugins give.
local type, error, pairs, ipairs, tostring, format = type, error, pairs, ipairs, tostring, string.format

local checks = {}

-- An empty value would be no header at all.
local function text_of(value)
  if value == "" then return " " end
  return (tostring(value))
end
checks.normalize_header = text_of

function checks.normalize_multi_header(value)
  if type(value) ~= "table" then return text_of(value) end
  local list = {}
  for index, one in ipairs(value) do list[index] = text_of(one) end
  return list
end

local plain = { string = true, number = true, boolean = true }

local function check(name, value, expected)
  if type(name) ~= "string" then
    error(format("invalid header name %q: got %s, expected string", tostring(name), type(name)), 4)
  end
  local kind = type(value)
  if plain[kind] then return end
  if kind ~= "table" then
    error(format("invalid header value for %q: got %s, expected %s", name, kind, expected), 4)
  end
  for _, one in ipairs(value) do
    if type(one) ~= "string" then
      error(format("invalid header value in array %q: got %s, expected string", name, type(one)), 4)
    end
  end
end

function checks.validate_header(name, value)
  check(name, value, "array of string, string, number or boolean")
  return type(value) == "table" and value or tostring(value)
end

function checks.validate_headers(headers)
  if type(headers) ~= "table" then error("headers must be a table", 3) end
  for name, value in pairs(headers) do
    check(name, value, "string, number, boolean or array of strings")
  end
end

return checks
