-- pl.pretty: tables as Lua text, and back.
local type, pairs, tostring, pcall, load = type, pairs, tostring, pcall, load
local sort, concat, format, rep = table.sort, table.concat, string.format, string.rep

local pretty = {}

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return
  then true until while]]):gmatch("%a+") do
  keywords[word] = true
end

local function key_of(key)
  if type(key) == "string" then
    if key:match("^[%a_][%w_]*$") and not keywords[key] then return key end
    return (format("[%q]", key))
  end
  return "[" .. tostring(key) .. "]"
end

local function write(value, space, level, seen)
  if type(value) == "string" then return (format("%q", value)) end
  if type(value) ~= "table" then return (tostring(value)) end
  if seen[value] then return "<cycle>" end
  seen[value] = true
  local inner = rep(space, level + 1)
  local parts, count = {}, #value
  for index = 1, count do parts[index] = inner .. write(value[index], space, level + 1, seen) end
  local keys = {}
  for key in pairs(value) do
    local listed = type(key) == "number" and key >= 1 and key <= count and key % 1 == 0
    if not listed then keys[#keys + 1] = key end
  end
  sort(keys, function(a, b)
    if type(a) == type(b) and type(a) == "number" then return a < b end
    return tostring(a) < tostring(b)
  end)
  for index = 1, #keys do
    local key = keys[index]
    parts[#parts + 1] = inner .. key_of(key) .. " = " .. write(value[key], space, level + 1, seen)
  end
  seen[value] = nil
  if #parts == 0 then return "{}" end
  if space == "" then return "{" .. concat(parts, ",") .. "}" end
  return "{\n" .. concat(parts, ",\n") .. "\n" .. rep(space, level) .. "}"
end

function pretty.write(value, space) return write(value, space or "  ", 0, {}) end
function pretty.dump(value) print(pretty.write(value)) end
function pretty.quote_string(text) return (format("%q", text)) end
setmetatable(pretty, { __call = function(_, value) pretty.dump(value) end })

-- A table as text: no names of the world are within reach.
function pretty.read(text)
  local chunk, why = load("return " .. text, "tbl", "t", {})
  if not chunk then return nil, why end
  local ok, value = pcall(chunk)
  if not ok then return nil, value end
  return value
end

return pretty
