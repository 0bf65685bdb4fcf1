-- Fields of records by names with dots ("redis.host"), and what counts as empty.
local null = ngx.null
local type, next = type, next
local find, sub = string.find, string.sub

local paths = {}

local function split(name)
  local dot = find(name, ".", 1, true)
  if not dot then return name end
  return sub(name, 1, dot - 1), sub(name, dot + 1)
end

function paths.get(record, name)
  local head, rest = split(name)
  while rest do
    if type(record) ~= "table" then return nil end
    record = record[head]
    head, rest = split(rest)
  end
  if type(record) ~= "table" then return nil end
  return record[head]
end

function paths.set(record, name, value)
  local head, rest = split(name)
  while rest do
    if type(record[head]) ~= "table" then record[head] = {} end
    record = record[head]
    head, rest = split(rest)
  end
  record[head] = value
end

-- The definition of a field, by its name from the schema on; nil where there is none.
function paths.field(schema, name)
  local head, rest = split(name)
  local fields = schema and schema.fields
  local field = fields and fields[head]
  -- A plain record has its fields as a list only.
  if not field and fields then
    for index = 1, #fields do
      if fields[index][head] then field = fields[index][head] end
    end
  end
  if not rest then return field end
  return field and paths.field(field, rest)
end

-- Nothing, null, an empty text or list.
function paths.empty(value)
  return value == nil or value == null or value == ""
    or type(value) == "table" and next(value) == nil
end

-- 'a', 'b', ('c', 'd')
function paths.quoted(names)
  local parts = {}
  for index = 1, #names do
    local name = names[index]
    if type(name) == "table" then
      parts[index] = "(" .. paths.quoted(name) .. ")"
    else
      parts[index] = "'" .. name .. "'"
    end
  end
  return (table.concat(parts, ", "))
end

return paths
