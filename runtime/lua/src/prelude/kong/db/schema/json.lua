-- Fields of type "json": JSON Schema, draft 4.
local texts = require "kong.db.schema.texts"
local paths = require "kong.db.schema.paths"
local is_list = require("kong.db.schema.values").is_list
local deepcompare = require("pl.tablex").deepcompare

local null = ngx.null
local type, pairs, ipairs, next, tostring, floor = type, pairs, ipairs, next, tostring, math.floor

local json = { DRAFT_4 = "http://json-schema.org/draft-04/schema#" }

local kinds = {
  null = function(v) return v == null end,
  boolean = function(v) return type(v) == "boolean" end,
  string = function(v) return type(v) == "string" end,
  number = function(v) return type(v) == "number" end,
  integer = function(v) return type(v) == "number" and floor(v) == v end,
  array = is_list,
  object = function(v) return type(v) == "table" and (next(v) == nil or not is_list(v)) end,
}

local check

local function any_of(names, value)
  for _, name in ipairs(type(names) == "table" and names or { names }) do
    if kinds[name] and kinds[name](value) then return true end
  end
  return false
end

local function count(map)
  local n = 0
  for _ in pairs(map) do n = n + 1 end
  return n
end

local function matching(list, value, root)
  local n, why = 0, nil
  for _, schema in ipairs(list) do
    local ok, wrong = check(schema, value, root)
    if ok then n = n + 1 else why = wrong end
  end
  return n, why
end

-- Keywords for whatever a value is.
local general = {
  type = function(names, value)
    if any_of(names, value) then return true end
    return nil, "wrong type: expected " .. (type(names) == "table" and "one of "
      .. table.concat(names, ", ") or names) .. ", got " .. type(value)
  end,
  enum = function(list, value)
    for _, one in ipairs(list) do
      if deepcompare(one, value) then return true end
    end
    return nil, "matches none of the enum values"
  end,
  allOf = function(list, value, _, root)
    local n, why = matching(list, value, root)
    if n == #list then return true end
    return nil, why
  end,
  anyOf = function(list, value, _, root)
    if matching(list, value, root) > 0 then return true end
    return nil, "object needs one of its schemas to match"
  end,
  oneOf = function(list, value, _, root)
    local n = matching(list, value, root)
    if n == 1 then return true end
    return nil, "value should match only one schema, but matches " .. (n == 0 and "none" or n)
  end,
  ["not"] = function(schema, value, _, root)
    if not check(schema, value, root) then return true end
    return nil, "value wasn't supposed to match schema"
  end,
}

local numbers = {
  minimum = function(limit, value, schema)
    if value > limit or value == limit and schema.exclusiveMinimum ~= true then return true end
    return nil, "expected " .. value .. " to be at least " .. limit
  end,
  maximum = function(limit, value, schema)
    if value < limit or value == limit and schema.exclusiveMaximum ~= true then return true end
    return nil, "expected " .. value .. " to be at most " .. limit
  end,
  multipleOf = function(unit, value)
    if value % unit == 0 then return true end
    return nil, "expected " .. value .. " to be a multiple of " .. unit
  end,
}

local strings = {
  minLength = function(limit, value)
    if #value >= limit then return true end
    return nil, "string too short, expected at least " .. limit .. ", got " .. #value
  end,
  maxLength = function(limit, value)
    if #value <= limit then return true end
    return nil, "string too long, expected at most " .. limit .. ", got " .. #value
  end,
  pattern = function(pattern, value)
    if ngx.re.find(value, pattern, "jo") then return true end
    return nil, "failed to match pattern \"" .. pattern .. "\" with \"" .. value .. "\""
  end,
}

local arrays = {
  minItems = function(limit, list)
    if #list >= limit then return true end
    return nil, "expect array to have at least " .. limit .. " items"
  end,
  maxItems = function(limit, list)
    if #list <= limit then return true end
    return nil, "expect array to have at most " .. limit .. " items"
  end,
  uniqueItems = function(wanted, list)
    for index = 1, wanted and #list or 0 do
      for other = index + 1, #list do
        if deepcompare(list[index], list[other]) then
          return nil, "expected unique items but items " .. index .. " and " .. other .. " are equal"
        end
      end
    end
    return true
  end,
  items = function(items, list, schema, root)
    for index, value in ipairs(list) do
      local one = items
      if items[1] ~= nil then one = items[index] or schema.additionalItems end
      if one == false then return nil, "item " .. index .. ": additional items are not allowed" end
      if type(one) == "table" then
        local ok, why = check(one, value, root)
        if not ok then return nil, "failed to validate item " .. index .. ": " .. why end
      end
    end
    return true
  end,
}

-- Whether a property is said by name or pattern, and what those schemas say of it.
local function check_property(schema, name, value, root)
  local known = schema.properties and schema.properties[name]
  local list = { known }
  for pattern, one in pairs(schema.patternProperties or {}) do
    if ngx.re.find(tostring(name), pattern, "jo") then list[#list + 1] = one end
  end
  if #list == 0 then
    local more = schema.additionalProperties
    if more == false then return nil, "additional properties forbidden, found " .. tostring(name) end
    if type(more) == "table" then list[1] = more end
  end
  for _, one in ipairs(list) do
    local ok, why = check(one, value, root)
    if not ok then return nil, "property " .. tostring(name) .. " validation failed: " .. why end
  end
  return true
end

local function properties(_, object, schema, root)
  for name, value in pairs(object) do
    local ok, why = check_property(schema, name, value, root)
    if not ok then return nil, why end
  end
  return true
end

local objects = {
  properties = properties, patternProperties = properties, additionalProperties = properties,
  required = function(names, object)
    for _, name in ipairs(names) do
      if object[name] == nil then return nil, "property " .. name .. " is required" end
    end
    return true
  end,
  minProperties = function(limit, object)
    if count(object) >= limit then return true end
    return nil, "expect object to have at least " .. limit .. " properties"
  end,
  maxProperties = function(limit, object)
    if count(object) <= limit then return true end
    return nil, "expect object to have at most " .. limit .. " properties"
  end,
  dependencies = function(map, object, _, root)
    for name, needs in pairs(map) do
      if object[name] ~= nil then
        if needs[1] == nil then
          local ok, why = check(needs, object, root)
          if not ok then return nil, why end
        end
        for _, other in ipairs(needs) do
          if object[other] == nil then
            return nil, "property " .. other .. " is required when " .. name .. " is set"
          end
        end
      end
    end
    return true
  end,
}

local families = {
  { kinds.number, numbers }, { kinds.string, strings }, { kinds.array, arrays },
  { kinds.object, objects },
}

local function resolve(reference, root)
  local at = root
  for name in reference:gsub("^#", ""):gmatch("[^/]+") do
    at = type(at) == "table" and at[name:gsub("~1", "/"):gsub("~0", "~")] or nil
  end
  return at
end

local function run(keywords, schema, value, root)
  for name, argument in pairs(schema) do
    local keyword = keywords[name]
    if keyword then
      local ok, why = keyword(argument, value, schema, root)
      if not ok then return nil, why end
    end
  end
  return true
end

function check(schema, value, root)
  if schema["$ref"] then
    local target = resolve(schema["$ref"], root)
    if not target then return nil, "unknown reference " .. schema["$ref"] end
    return check(target, value, root)
  end
  local ok, why = run(general, schema, value, root)
  for _, family in ipairs(families) do
    if ok and family[1](value) then ok, why = run(family[2], schema, value, root) end
  end
  return ok, why
end

function json.validate(value, schema)
  local version = schema["$schema"]
  if version and version:gsub("#$", "") ~= json.DRAFT_4:gsub("#$", "") then
    return nil, "unsupported document $schema: '" .. version .. "', expected: " .. json.DRAFT_4
  end
  return check(schema, value, schema)
end

function json.validate_schema(schema)
  if type(schema) ~= "table" then return nil, "schema must be a table" end
  return true
end

-- Schemas that others refer to by name.
local known = {}
function json.add_schema(name, schema) known[name] = schema end
function json.get_schema(name) return known[name] end
function json.remove_schema(name) known[name] = nil end

local function schema_of(field, name, record)
  local about = field.json_schema
  if about.inline then return about.inline end
  local key = paths.get(record, about.parent_subschema_key)
  if key == nil then
    if about.optional then return nil end
    return nil, texts.JSON_PARENT_KEY_MISSING:format(name, about.parent_subschema_key)
  end
  local full = about.namespace .. "/" .. key
  local schema = known[full] or about.default
  if schema or about.optional then return schema end
  return nil, texts.JSON_SCHEMA_NOT_FOUND:format(full)
end

function json.validate_field(field, name, record)
  local schema, why = schema_of(field, name, record)
  if why then return nil, why end
  if not schema then return true end
  return json.validate(record[name], schema)
end

return json
