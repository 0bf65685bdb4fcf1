-- `cjson` and `cjson.safe`, as OpenResty's fork of lua-cjson has them.
local pl = ...
local slow = pl.slow
local type, error, select, tonumber, floor = type, error, select, tonumber, math.floor
local getinfo, stock_tostring, unpack = debug.getinfo, tostring, unpack

-- Tables with these are arrays: always, and when they are empty. All instances share them.
local array_mt, empty_array_mt = {}, {}
local empty_array = slow.cjson_empty_array()
local INT_MAX = 2147483647

-- Bits of the flags, as in calls/cjson.rs.
local EMPTY_AS_OBJECT, ESCAPE_SLASH, SKIP_UNSUPPORTED, SPARSE_CONVERT = 1, 2, 4, 8
local INVALID_WRITTEN, INVALID_NULL = 16, 32

-- Readers of options: the value that is meant, or nil and why it can't be one.
local function switch(value)
  if type(value) == "boolean" then return value end
  if value == "on" or value == "off" then return value == "on" end
  if type(value) == "string" then return nil, "invalid option '" .. value .. "'" end
  return nil, "string expected, got " .. type(value)
end

local function invalid(value)
  if value == "null" then return value end
  return switch(value)
end

local function indent(value)
  if type(value) == "number" then return (stock_tostring(value)) end
  if type(value) == "string" then return value end
  return nil, "string expected, got " .. type(value)
end

local function ranged(min, max)
  return function(value)
    local number = tonumber(value)
    if not number then return nil, "number expected, got " .. type(value) end
    number = number < 0 and -floor(-number) or floor(number)
    if number >= min and number <= max then return number end
    return nil, "expected integer between " .. min .. " and " .. max, 1
  end
end

-- By name: what they are at first, and how a new value is read.
local count = ranged(0, INT_MAX)
local OPTIONS = {
  encode_sparse_array = { { false, switch }, { 2, count }, { 10, count } },
  encode_max_depth = { { 1000, ranged(1, INT_MAX) } },
  decode_max_depth = { { 1000, ranged(1, INT_MAX) } },
  encode_number_precision = { { 14, ranged(1, 16) } },
  encode_keep_buffer = { { true, switch } },
  encode_empty_table_as_object = { { true, switch } },
  encode_escape_forward_slash = { { true, switch } },
  encode_skip_unsupported_value_types = { { false, switch } },
  encode_invalid_numbers = { { false, invalid } },
  encode_indent = { { "", indent } },
  decode_invalid_numbers = { { true, switch } },
  decode_array_with_array_mt = { { false, switch } },
  decode_allow_comment = { { false, switch } },
}

-- The function that sets an option's values, which are kept in `set`, and tells what they are.
local function setter(name, set, changed)
  local parts, values = OPTIONS[name], {}
  for index = 1, #parts do values[index] = parts[index][1] end
  set[name] = values
  return function(...)
    local function refuse(index, why)
      error("bad argument #" .. index .. " to '" .. (getinfo(2, "n").name or "?") .. "' (" .. why
        .. ")", 3)
    end
    if select("#", ...) > #parts then refuse(#parts + 1, "found too many arguments") end
    for index = 1, #parts do
      local given = select(index, ...)
      if given ~= nil then
        local value, why, at = parts[index][2](given)
        if value == nil then refuse(at or index, why) end
        values[index] = value
      end
    end
    changed()
    return unpack(values)
  end
end

local function new(safe)
  local set = {}
  local flags, depth, ratio, sparse, precision, spaces
  local strange, arrays, comments, deep

  local function changed()
    local function flag(name, bit) return set[name][1] == true and bit or 0 end
    local sparse_array, numbers = set.encode_sparse_array, set.encode_invalid_numbers[1]
    flags = flag("encode_empty_table_as_object", EMPTY_AS_OBJECT)
      + flag("encode_escape_forward_slash", ESCAPE_SLASH)
      + flag("encode_skip_unsupported_value_types", SKIP_UNSUPPORTED)
      + (sparse_array[1] and SPARSE_CONVERT or 0)
      + (numbers == "null" and INVALID_NULL or numbers and INVALID_WRITTEN or 0)
    depth, precision = set.encode_max_depth[1], set.encode_number_precision[1]
    ratio, sparse, spaces = sparse_array[2], sparse_array[3], set.encode_indent[1]
    strange, comments = set.decode_invalid_numbers[1], set.decode_allow_comment[1]
    arrays = set.decode_array_with_array_mt[1] and array_mt or nil
    deep = set.decode_max_depth[1]
  end

  local function encode(value)
    return slow.cjson_encode(value, array_mt, empty_array_mt, flags, depth, ratio, sparse,
      precision, spaces)
  end
  local function decode(s) return slow.cjson_decode(s, arrays, strange, comments, deep) end

  local cjson = {
    null = pl.null, array_mt = array_mt, empty_array_mt = empty_array_mt,
    empty_array = empty_array, _NAME = "cjson", _VERSION = "2.1.0.11",
    new = function() return new(safe) end,
  }
  for name in pairs(OPTIONS) do cjson[name] = setter(name, set, changed) end
  changed()

  local function one(count, name)
    if count ~= 1 then
      error("bad argument #1 to '" .. name .. "' (expected 1 argument)", 3)
    end
  end
  local function is_text(s) return type(s) == "string" or type(s) == "number" end

  if safe then
    function cjson.encode(...)
      one(select("#", ...), "encode")
      local encoded, why = encode((...))
      if encoded then return encoded end
      return nil, why
    end
    function cjson.decode(...)
      one(select("#", ...), "decode")
      local s = ...
      if not is_text(s) then
        return nil, "bad argument #1 to '?' (string expected, got " .. type(s) .. ")"
      end
      return decode(s)
    end
  else
    function cjson.encode(...)
      one(select("#", ...), "encode")
      local encoded, why, raised = encode((...))
      if not encoded then error(why, raised and 0 or 2) end
      return encoded
    end
    function cjson.decode(...)
      one(select("#", ...), "decode")
      local s = ...
      if not is_text(s) then
        error("bad argument #1 to '" .. (getinfo(1, "n").name or "?")
          .. "' (string expected, got " .. type(s) .. ")", 2)
      end
      local value, why = decode(s)
      if why then error(why, 2) end
      return value
    end
  end
  return cjson
end

return function(_, world)
  world.preload["cjson"] = function() return new(false) end
  world.preload["cjson.safe"] = function() return new(true) end
end
