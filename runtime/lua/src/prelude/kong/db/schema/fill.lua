-- What a record gets that it was not given: defaults, ids, times, what old names stand for; and, when
-- it is read (`select`), what it loses: nulls, unknown fields, references to vaults.
local texts = require "kong.db.schema.texts"
local values = require "kong.db.schema.values"
local tables = require "kong.tools.table"
local array_mt = require("cjson").array_mt

local null = ngx.null
local type, pairs, next, tostring, setmetatable, getmetatable, floor =
  type, pairs, next, tostring, setmetatable, getmetatable, math.floor

-- Sets answer whether they have a value: `set["x"]`.
local Set = {}
local members = setmetatable({}, { __mode = "k" })
function Set.__index(set, key)
  local has = members[set]
  return has and has[key]
end

local function as_array(list)
  if not values.is_list(list) then return list end
  return (setmetatable(list, array_mt))
end

local function as_set(list)
  if not values.is_list(list) then return list end
  if #list == 0 then return (setmetatable(list, array_mt)) end
  local once, has = {}, {}
  for index = 1, #list do
    local value = list[index]
    if not has[value] then
      has[value] = true
      once[#once + 1] = value
    end
  end
  members[once] = has
  return (setmetatable(once, Set))
end

local function schema_of(field) return require("kong.db.schema").of(field) end

-- A field that was not given.
local function missing(field, value, options)
  if field.default ~= nil and not (options and options.no_defaults) then
    local copy = tables.cycle_aware_deep_copy(field.default)
    if (field.type == "array" or field.type == "set") and type(copy) == "table"
      and not getmetatable(copy)
    then
      setmetatable(copy, array_mt)
    end
    return copy
  end
  if field.nilable then return value end
  if field.required ~= true then return null end
  if field.abstract then return nil end
  if field.type == "record" then return schema_of(field):process_auto_fields({}, "insert") end
  return nil
end

local function adjust(field, value, context, nulls, options)
  if context == "select" and value == null and field.required == true then
    return missing(field, value, options)
  end
  if field.abstract then return value end
  if field.type == "record" then
    local absent = value == nil and (context == "update" or field.required ~= true)
    if value ~= null and not absent then
      if value == nil then value = missing(field, value, options) end
      if type(value) == "table" then
        return schema_of(field):process_auto_fields(value, context, nulls, options)
      end
    end
  elseif type(value) == "table" then
    local member
    if field.type == "array" then
      value, member = as_array(value), field.elements
    elseif field.type == "set" then
      value, member = as_set(value), field.elements
    elseif field.type == "map" then
      member = field.values
    end
    if member then
      for key, one in pairs(value) do
        local made, why = adjust(member, one, context, nulls, options)
        if why then return nil, why end
        value[key] = made
      end
    end
  end
  if value == nil and context ~= "update" then return missing(field, value, options) end
  return value
end

-- Ids, secrets and times that a row gets by itself.
local function auto(key, field, value, context)
  local made = context == "insert" or context == "upsert"
  if field.uuid then
    if made and value == nil then return require("kong.tools.uuid").uuid() end
  elseif field.type == "string" then
    if made and value == nil then return require("kong.tools.rand").random_string() end
  elseif made and key == "created_at" and (value == nil or value == null)
    or key == "updated_at" and (made or context == "update")
  then
    ngx.update_time()
    -- While a manifest is only checked there is no clock.
    if field.type == "number" then return (math.max(ngx.now(), 1)) end
    if field.type == "integer" then return (math.max(ngx.time(), 1)) end
  end
  return value
end

-- The field that an old name stands for, in words, and its value.
local function replaced(short, data)
  local by = short.deprecation and short.deprecation.replaced_with
    and short.deprecation.replaced_with[1]
  if by then
    local value
    if by.reverse_mapping_function then
      value = by.reverse_mapping_function(data)
    else
      value = tables.table_path(data, by.path)
    end
    return table.concat(by.path, "."), value
  end
  if short.translate_backwards then
    local value
    if short.translate_backwards_with then
      value = short.translate_backwards_with(data)
    else
      value = tables.table_path(data, short.translate_backwards)
    end
    return table.concat(short.translate_backwards, "."), value
  end
  return nil
end

local function agree(name, short, value, data)
  if value == null or not short.deprecation then return true end
  local new, other = replaced(short, data)
  if not new or other == nil or other == null or other == false
    or require("pl.tablex").deepcompare(other, value)
  then
    return true
  end
  return nil, texts.DEPRECATED_MISMATCH:format(name, tostring(value), new, tostring(other))
end

-- Old names become the fields that they stand for. What is written by its new name wins over an old
-- name that is on its way out.
local function expand(short, value, data)
  local made = short.func(value)
  for key, new in pairs(made or {}) do
    local own = data[key]
    if own == null then own = nil end
    if type(new) == "table" then
      own = type(own) == "table" and own or {}
      if short.deprecation then
        data[key] = tables.null_aware_table_merge(new, own)
      else
        data[key] = tables.table_merge(own, new)
      end
    elseif own == nil or not short.deprecation then
      data[key] = new
    end
  end
end

local function shorthands(schema, data)
  local errors
  for index = 1, #schema.shorthand_fields do
    local name, short = next(schema.shorthand_fields[index])
    local value = data[name]
    if value ~= nil then
      local ok, why = values.check(short, value)
      if ok then ok, why = agree(name, short, value, data) end
      if ok then
        data[name] = nil
        expand(short, value, data)
      else
        errors = errors or {}
        errors[name] = why
      end
    end
  end
  return errors
end

local function resolve(reference)
  local value, why = kong.vault.get(reference)
  if value then return value end
  kong.log.warn("unable to resolve reference ", reference, why and " (" .. why .. ")" or "")
  return ""
end

-- What vaults hold, in place; the references are kept beside.
local function resolve_field(field, value, refs, key)
  if field.type == "string" then
    if field.referenceable and values.is_reference(value) then
      refs[key] = value
      return resolve(value)
    end
    return value
  end
  local member = field.type == "map" and field.values
    or (field.type == "array" or field.type == "set") and field.elements
  if not member or member.type ~= "string" or not member.referenceable or type(value) ~= "table" then
    return value
  end
  for place, one in pairs(value) do
    if values.is_reference(one) then
      refs[key] = refs[key] or {}
      refs[key][place] = one
      value[place] = resolve(one)
    end
  end
  return value
end

-- What handlers see: no nulls, no empty texts where none may be, old names beside the new.
local function select_fields(schema, data, nulls, options)
  local refs, kept = {}, {}
  for key, field in schema:each_field(data) do
    local value = data[key]
    if value == null and not nulls then
      value = nil
    elseif field.type == "integer" and type(value) == "number" then
      value = floor(value)
    end
    if not nulls then value = resolve_field(field, value, refs, key) end
    if value == "" and field.type == "string" and (field.len_min or 1) > 0 and not refs[key] then
      value = nulls and null or nil
    end
    kept[key] = true
    data[key] = value
  end
  for index = 1, schema.shorthand_fields and #schema.shorthand_fields or 0 do
    local name, short = next(schema.shorthand_fields[index])
    local new, value = replaced(short, data)
    if new and not (options and options.hide_shorthands) then
      if value == null and not nulls then value = nil end
      kept[name] = true
      data[name] = value
    end
  end
  for key in pairs(data) do
    if not kept[key] and not (key == "ttl" and schema.ttl) then data[key] = nil end
  end
  data["$refs"] = next(refs) and refs or nil
  return data
end

-- Fills a record for a context: insert, upsert, update or select (which works in place).
return function(schema, data, context, nulls, options)
  if context ~= "select" then data = tables.cycle_aware_deep_copy(data) end
  if schema.shorthand_fields then
    local errors = shorthands(schema, data)
    if errors then return nil, errors end
  end
  local immutable = false
  for key, field in schema:each_field(data) do
    local value = data[key]
    if field.auto and context ~= "select" then value = auto(key, field, value, context) end
    local why
    value, why = adjust(field, value, context, nulls, options)
    if why then return nil, why end
    if context == "update" and field.immutable then immutable = true end
    data[key] = value
  end
  if context == "select" then return select_fields(schema, data, nulls, options) end
  return data, nil, immutable
end
