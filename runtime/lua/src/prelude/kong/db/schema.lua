-- kong.db.schema: what a plugin's configuration and a row of an entity may be. A schema is a list of
-- fields, checks over them, and old names; ours follows Kong's in what it takes and what it says.
local texts = require "kong.db.schema.texts"
local checks = require "kong.db.schema.checks"
local paths = require "kong.db.schema.paths"
local values = require "kong.db.schema.values"
local fill = require "kong.db.schema.fill"
local tables = require "kong.tools.table"

local null = ngx.null
local type, pairs, ipairs, next, tostring, setmetatable = type, pairs, ipairs, next, tostring, setmetatable
local insert, sort = table.insert, table.sort

local Schema = {}
Schema.__index = Schema

Schema.valid_types = {}
for name in pairs(values.kinds) do Schema.valid_types[name] = true end
Schema.valid_types.any = nil
Schema.entity_checkers = checks.names
Schema.validators = require("kong.db.schema.rules").all

-- A definition that can be used as it is, or called with changes: `typedefs.port { default = 80 }`.
function Schema.define(definition)
  return (setmetatable(definition, {
    __call = function(base, changes)
      changes = changes or {}
      for key, value in pairs(base) do
        if changes[key] == nil then changes[key] = value end
      end
      return changes
    end,
  }))
end

-- Records' fields by their names too, all the way down.
local function name_fields(record, seen)
  if seen[record] or not record.fields then return end
  seen[record] = true
  for index = 1, #record.fields do
    local name, field = next(record.fields[index])
    record.fields[name] = field
    if field.type == "record" then name_fields(field, seen) end
  end
end

function Schema.new(definition)
  if not definition then return nil, texts.SCHEMA_NO_DEFINITION end
  if not definition.fields then return nil, texts.SCHEMA_NO_FIELDS end
  local schema = setmetatable(tables.cycle_aware_deep_copy(definition), Schema)
  name_fields(schema, {})
  if schema.cache_key then
    schema.cache_key_set = {}
    for _, name in ipairs(schema.cache_key) do schema.cache_key_set[name] = true end
  end
  return schema
end

-- The schema of a field that is a record; made once.
local made = setmetatable({}, { __mode = "k" })
function Schema.of(field)
  local schema = made[field]
  if not schema then
    schema = Schema.new(field)
    made[field] = schema
  end
  return schema
end

local function subschema_of(schema, record)
  local key = schema.subschemas and schema.subschema_key
  local value = key and record[key]
  if type(value) == "table" then value = value[1] end
  return value ~= nil and schema.subschemas[value] or nil
end

-- Names and definitions in their order; those of a subschema where it changes them.
function Schema:each_field(record)
  local index, sub = 0, record and subschema_of(self, record)
  return function()
    index = index + 1
    local item = self.fields[index]
    if not item then return nil end
    local name, field = next(item)
    return name, sub and sub.fields[name] or field
  end
end

function Schema:validate_field(field, value) return values.check(field, value) end

local function validate_fields(schema, record, errors)
  local sub = subschema_of(schema, record)
  for name, value in pairs(record) do
    local key = tostring(name)
    local field = sub and sub.fields[key] or schema.fields[key]
    local ok, why
    if name == "updated_at" or name == "ttl" and schema.ttl then
      -- The store's own.
      ok = true
    elseif not field then
      why = texts.UNKNOWN
    elseif field.type == "json" then
      ok, why = require("kong.db.schema.json").validate_field(field, name, record)
    else
      ok, why = values.check(field, value)
    end
    if not ok then errors[name] = why end
  end
end

local function run_own_check(schema, record, errors)
  for name, field in schema:each_field() do
    if record[name] == nil and not field.nilable then
      errors[name] = texts.REQUIRED_FOR_ENTITY_CHECK
      return
    end
  end
  local ok, why = schema.check(record)
  if ok then return end
  if type(why) ~= "table" then return checks.add(errors, why or texts.CHECK) end
  for key, text in pairs(why) do
    if type(key) == "number" then checks.add(errors, text) else errors[key] = text end
  end
end

local function check_transformations(schema, record, errors)
  for _, change in ipairs(schema.transformations or {}) do
    local any = false
    for _, name in ipairs(change.input or {}) do
      any = any or not paths.empty(paths.get(record, name))
    end
    if any then
      local about = {}
      for _, name in ipairs(change.input) do insert(about, name) end
      for _, name in ipairs(change.needs or {}) do insert(about, name) end
      local ok, why = checks.names.mutually_required.run(record, about)
      if not ok then checks.add(errors, texts.MUTUALLY_REQUIRED:format(why)) end
    end
  end
end

-- Whether a record is whole and right; else nil and what is wrong, by field, with "@entity" for checks
-- over several.
function Schema:validate(record, whole)
  if whole == nil then whole = true end
  local errors, sub = {}, nil
  if type(record) ~= "table" then return nil, { texts.BAD_INPUT } end
  if self.subschema_key then
    local key = record[self.subschema_key]
    if key == nil or key == null then return nil, { [self.subschema_key] = texts.REQUIRED } end
    sub = subschema_of(self, record)
    if not sub then
      local text = self.subschema_error or texts.SUBSCHEMA_UNKNOWN
      return nil, { [self.subschema_key] = text:format(tostring(key)) }
    end
  end
  validate_fields(self, record, errors)
  for name, field in self:each_field(record) do
    local value = record[name]
    if field.required and (value == null or whole and value == nil) then
      errors[name] = texts.REQUIRED
    end
  end
  checks.run(self, self.entity_checks, record, whole, errors)
  if sub then
    local fields = setmetatable({}, { __index = function(_, key)
      return sub.fields[key] or self.fields[key]
    end })
    checks.run({ fields = fields }, sub.entity_checks, record, whole, errors)
    check_transformations(sub, record, errors)
  end
  if self.check and whole then run_own_check(self, record, errors) end
  check_transformations(self, record, errors)
  if next(errors) then return nil, errors end
  return true
end

function Schema:validate_insert(record) return self:validate(record, true) end
function Schema:validate_upsert(record) return self:validate(record, true) end
function Schema:validate_update(record) return self:validate(record, false) end

function Schema:validate_primary_key(key, others)
  local errors, own = {}, {}
  for _, name in ipairs(self.primary_key) do
    own[name] = true
    if key[name] == nil then
      errors[name] = texts.MISSING_PK
    else
      local ok, why = values.check(self.fields[name], key[name])
      if not ok then errors[name] = why end
    end
  end
  for name in pairs(key) do
    if not own[name] and not others then errors[name] = texts.NOT_PK end
  end
  if next(errors) then return nil, errors end
  return true
end

Schema.process_auto_fields = fill

function Schema:merge_values(top, bottom)
  local merged = {}
  if bottom == nil or bottom == null then bottom = {} end
  for key, value in pairs(bottom) do merged[key] = value end
  for key, value in pairs(top) do merged[key] = value end
  for key, field in self:each_field(bottom) do
    if field.type == "record" and not field.abstract and type(top[key]) == "table" then
      merged[key] = Schema.of(field):merge_values(top[key], bottom[key])
    end
  end
  return merged
end

local function transform(schema, list, record, context)
  for _, change in ipairs(list) do
    local run = context == "select" and change.on_read or context ~= "select" and change.on_write
    local arguments, ready = {}, run and true
    for _, names in ipairs { change.input or {}, change.needs or {} } do
      for _, name in ipairs(names) do
        local value = paths.get(record, name)
        ready = ready and not paths.empty(value)
        insert(arguments, value)
      end
    end
    if ready then
      if not change.input and not change.needs then arguments = { record } end
      local changed, why = run(unpack(arguments))
      if why then return nil, texts.TRANSFORMATION_ERROR:format(why) end
      record = schema:merge_values(changed, record)
    end
  end
  return record
end

function Schema:has_transformations(record)
  local sub = subschema_of(self, record)
  return self.transformations ~= nil or sub ~= nil and sub.transformations ~= nil
end

-- What a row's own rules make of it when it is written or read, such as hashing a password.
function Schema:transform(record, _, context)
  local out, why = transform(self, self.transformations or {}, record, context)
  if not out then return nil, why end
  local sub = subschema_of(self, record)
  if sub and sub.transformations then return transform(sub, sub.transformations, out, context) end
  return out
end

local alike = {
  array = "elements", set = "elements", map = "values",
}

-- Whether a field may take the place of its parent's.
local function compatible(parent, field)
  if parent.type == "record" and field.type == "json" then return true end
  if parent.type ~= field.type then return false end
  local within = alike[field.type]
  return not within or parent[within].type == field[within].type
end

-- Adds what one kind of a parent's records has of its own: a plugin's fields to those of all plugins.
function Schema:new_subschema(key, definition)
  local sub, why = Schema.new(definition)
  if not sub then return nil, why end
  for name, field in sub:each_field() do
    local parent = self.fields[name]
    if not parent then return nil, texts.SUBSCHEMA_BAD_FIELD:format(key, name) end
    if not compatible(parent, field) then return nil, texts.SUBSCHEMA_BAD_TYPE:format(key, name) end
  end
  for name, field in self:each_field() do
    if field.abstract and field.required and not sub.fields[name] then
      return nil, texts.SUBSCHEMA_UNDEFINED_FIELD:format(key, name)
    end
  end
  self.subschemas = self.subschemas or {}
  self.subschemas[key] = sub
  return true
end

function Schema:extract_pk_values(record)
  local key = {}
  for _, name in ipairs(self.primary_key) do key[name] = record[name] end
  return key
end

-- Errors as one line, as Kong shows them.
function Schema:errors_to_string(errors)
  if type(errors) ~= "table" or not next(errors) then return nil end
  local parts, names = {}, {}
  for _, text in ipairs(errors["@entity"] or {}) do insert(parts, text) end
  for _, text in ipairs(errors) do
    insert(parts, type(text) == "table" and self:errors_to_string(text) or text)
  end
  for name in pairs(errors) do
    if type(name) == "string" and name ~= "@entity" then insert(names, name) end
  end
  sort(names)
  for _, name in ipairs(names) do
    local text = errors[name]
    if type(text) == "table" then text = self:errors_to_string(text) end
    insert(parts, name .. ": " .. tostring(text))
  end
  return texts.ERROR:format(table.concat(parts, "; "))
end

-- Errors as a list of lines that name the whole path: "config.redis.host: required field missing".
function Schema.lines(errors)
  local lines = {}
  local function walk(path, what)
    if type(what) ~= "table" then
      insert(lines, path == "" and tostring(what) or path .. ": " .. tostring(what))
      return
    end
    local keys = {}
    for key in pairs(what) do insert(keys, key) end
    sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for _, key in ipairs(keys) do
      if key == "@entity" then
        for _, text in ipairs(what[key]) do walk(path, text) end
      elseif type(key) == "number" then
        walk(path .. "[" .. key .. "]", what[key])
      else
        walk(path == "" and key or path .. "." .. key, what[key])
      end
    end
  end
  walk("", errors)
  return lines
end

return Schema
