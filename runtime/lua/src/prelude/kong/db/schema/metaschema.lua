-- Whether a schema is itself well formed, so that a plugin's slip is told when it is loaded and by the
-- name of the field.
local Schema = require "kong.db.schema"
local checks = require "kong.db.schema.checks"

local type, pairs, ipairs, next, tostring = type, pairs, ipairs, next, tostring
local concat = table.concat

local KINDS = "array set string number integer boolean foreign map record function json any"

local function words(text)
  local set = {}
  for word in text:gmatch("%S+") do set[word] = true end
  return set
end

-- What each attribute of a field must be, and of which types of fields it may be said.
local attributes = {
  type = "string", required = "boolean", reference = "string", description = "string",
  examples = "table", auto = "boolean", unique = { "boolean", "string number integer foreign" },
  unique_across_ws = { "boolean", "string number integer foreign" }, on_delete = "string",
  default = "any", abstract = { "boolean", "string number integer record array set map" },
  generate_admin_api = "boolean", immutable = "boolean", err = "string", encrypted = "boolean",
  referenceable = "boolean", json_schema = { "table", "json" },
  transient = { "boolean", "string number integer array set boolean" }, deprecation = "table",
  nilable = "boolean", translate_backwards = "table", translate_backwards_with = "function",
  func = "function", indexed = "boolean",

  between = { "table", "integer number" }, eq = "any", ne = "any", gt = "number",
  len_eq = { "number", "array set string map" }, len_min = "number", len_max = "number",
  match = { "string", "string" }, not_match = "string", match_all = "table", match_none = "table",
  match_any = "table", starts_with = "string", one_of = { "table", "string number integer" },
  not_one_of = "table", contains = { "any", "array set" }, is_regex = { "boolean", "string" },
  timestamp = { "boolean", "number integer" }, uuid = { "boolean", "string" },
  custom_validator = "function", mutually_exclusive_subsets = "table",

  elements = "table", keys = "table", values = "table", fields = "table", entity_checks = "table",
  shorthand_fields = "table",
}
for name, rule in pairs(attributes) do
  if type(rule) == "table" then attributes[name] = { rule[1], words(rule[2]) } end
end

local needs = {
  array = { "elements" }, set = { "elements" }, map = { "keys", "values" }, record = { "fields" },
  json = { "json_schema" }, foreign = { "reference" },
}

local check_field

local function check_fields(path, fields, report)
  if type(fields) ~= "table" then return report(path, "'fields' must be a table") end
  for _, item in ipairs(fields) do
    if type(item) ~= "table" then
      return report(path, "each entry in fields must be a sub-table")
    end
    local name, field = next(item)
    if type(name) ~= "string" then
      return report(path, name == nil and "field entry table is empty"
        or "each key in fields must be a string")
    end
    check_field(path == "" and name or path .. "." .. name, field, report)
  end
end

local function check_attribute(path, field, name, value, report)
  local rule = attributes[name]
  if not rule then return report(path, "unknown attribute '" .. tostring(name) .. "'") end
  local kind = type(rule) == "table" and rule[1] or rule
  if kind ~= "any" and type(value) ~= kind then
    return report(path, "'" .. name .. "' must be a " .. kind)
  end
  if type(rule) == "table" and not rule[2][field.type] then
    report(path, ("field of type '%s' cannot have attribute '%s'"):format(field.type, name))
  end
end

local function check_checks(path, list, report)
  for _, item in ipairs(list or {}) do
    local name = type(item) == "table" and next(item)
    if not checks.names[name] then
      report(path, "unknown entity check '" .. tostring(name) .. "'")
    end
  end
end

function check_field(path, field, report)
  if type(field) ~= "table" then return report(path, "'" .. path .. "' must be a table") end
  if field.type == nil then return report(path, "missing type declaration") end
  if not words(KINDS)[field.type] then
    return report(path, "invalid type: " .. tostring(field.type))
  end
  for _, name in ipairs(needs[field.type] or {}) do
    if field[name] == nil and not field.abstract then
      report(path, ("field of type '%s' must declare '%s'"):format(field.type, name))
    end
  end
  for name, value in pairs(field) do check_attribute(path, field, name, value, report) end
  for _, name in ipairs { "elements", "keys", "values" } do
    if type(field[name]) == "table" then check_field(path .. "." .. name, field[name], report) end
  end
  if field.type == "record" and field.fields then check_fields(path, field.fields, report) end
  check_checks(path, field.entity_checks, report)
end

local MetaSchema = {}

-- Kong's interface: true, or nil and errors by the fields' names.
function MetaSchema:validate(schema)
  local errors, any = {}, false
  local function report(path, text)
    any = true
    errors[path == "" and "fields" or path] = text
  end
  if type(schema) ~= "table" then return nil, { "a schema must be a table" } end
  if schema.name ~= nil and type(schema.name) ~= "string" then
    report("name", "expected a string")
  end
  check_fields("", schema.fields, report)
  check_checks("", schema.entity_checks, report)
  if any then return nil, errors end
  return true
end

MetaSchema.valid_types = Schema.valid_types
MetaSchema.MetaSubSchema = MetaSchema

-- As one line, by path.
function MetaSchema.problem(schema)
  local ok, errors = MetaSchema:validate(schema)
  if ok then return nil end
  return (concat(Schema.lines(errors), "; "))
end

return MetaSchema
