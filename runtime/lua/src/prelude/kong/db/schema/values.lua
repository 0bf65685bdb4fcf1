-- One value against the definition of its field: its type, then what is in it, then the rules.
local texts = require "kong.db.schema.texts"
local rules = require "kong.db.schema.rules"

local null = ngx.null
local type, pairs, tostring, floor = type, pairs, tostring, math.floor

local values = {}

-- A list without holes.
local function is_list(value)
  if type(value) ~= "table" then return false end
  local count = 0
  for key in pairs(value) do
    if type(key) ~= "number" or key < 1 or key ~= floor(key) then return false end
    count = count + 1
  end
  for index = 1, count do
    if value[index] == nil then return false end
  end
  return true
end
values.is_list = is_list

function values.is_reference(value)
  return type(value) == "string" and value:sub(1, 9) == "{vault://" and value:sub(-1) == "}"
end

local kinds = {}

local function list_of(text)
  return function(field, value)
    if not is_list(value) then return nil, text end
    local errors
    for index = 1, #value do
      local ok, why = values.check(field.elements, value[index], true)
      if not ok then
        errors = errors or {}
        errors[index] = why
      end
    end
    if errors then return nil, errors end
    return true
  end
end
kinds.array, kinds.set = list_of(texts.ARRAY), list_of(texts.SET)

function kinds.map(field, value)
  if type(value) ~= "table" then return nil, texts.MAP end
  for key, one in pairs(value) do
    local ok, why = values.check(field.keys, key, true)
    if not ok then return nil, why end
    ok, why = values.check(field.values, one, true)
    if not ok then return nil, why end
  end
  return true
end

function kinds.record(field, value)
  if type(value) ~= "table" then return nil, texts.RECORD end
  local Schema = require "kong.db.schema"
  local schema = Schema.of(field)
  local filled, why = schema:process_auto_fields(value, "insert")
  if not filled then return nil, why end
  return schema:validate(filled)
end

-- A row of another entity: its primary key is enough.
function kinds.foreign(_, value)
  if type(value) ~= "table" then return nil, texts.RECORD end
  if value.id == nil then return nil, { id = texts.MISSING_PK } end
  return true
end

function kinds.integer(_, value)
  if type(value) == "number" and value == floor(value) and value - value == 0 then return true end
  return nil, texts.INTEGER
end

for _, name in ipairs { "string", "number", "boolean", "function" } do
  local text = texts[name:upper()]
  kinds[name] = function(_, value)
    if type(value) == name then return true end
    return nil, text
  end
end

function kinds.any() return true end
kinds.json = kinds.any

local function check_null(field, needed)
  if field.ne == null then return nil, field.err or texts.NE:format("null") end
  if field.eq ~= nil and field.eq ~= null then return nil, texts.EQ:format(tostring(field.eq)) end
  if field.required or needed then return nil, texts.REQUIRED end
  return true
end

local function warn_of(field, value)
  local deprecation = field.deprecation
  local old = deprecation.old_default
  if old ~= nil and require("pl.tablex").deepcompare(value, old) then return end
  require("kong.deprecation")(deprecation.message, { after = deprecation.removal_in_version })
end

-- `needed`: a member of a list or map, which null can't be.
function values.check(field, value, needed)
  if value == null then return check_null(field, needed) end
  if field.eq == null then return nil, field.err or texts.EQ:format("null") end
  if field.abstract then return nil, texts.SUBSCHEMA_ABSTRACT_FIELD end
  if field.deprecation then warn_of(field, value) end
  local kind = kinds[field.type]
  if not kind then return nil, texts.SCHEMA_TYPE:format(tostring(field.type)) end
  local ok, why = kind(field, value)
  if not ok then return nil, why end
  -- What a vault holds is looked at when it is there.
  if field.type == "string" and field.referenceable and values.is_reference(value) then
    return true
  end
  return rules.check(field, value)
end

values.kinds = kinds
return values
