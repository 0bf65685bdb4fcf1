-- Checks over several fields of a record. Each sees only the fields that it names.
local texts = require "kong.db.schema.texts"
local paths = require "kong.db.schema.paths"
local values = require "kong.db.schema.values"

local null = ngx.null
local type, pairs, next, setmetatable = type, pairs, next, setmetatable
local get, set, empty, quoted = paths.get, paths.set, paths.empty, paths.quoted

local function filled(record, names)
  local found = {}
  for index = 1, #names do
    if not empty(get(record, names[index])) then found[#found + 1] = names[index] end
  end
  return found
end

-- A definition that changes a field's for one look: `{ match = "^redis$" }` over the field.
local function holds(schema, name, rules, value)
  local field = setmetatable({}, { __index = paths.field(schema, name) })
  for key, rule in pairs(rules) do field[key] = rule end
  return values.check(field, value)
end

-- `missing`: it runs though fields are missing; `invalid`: though some are wrong; `from`: where in
-- its argument the names of fields are; `needs`: which of them must be there.
local checks = {}

checks.at_least_one_of = {
  missing = true,
  invalid = true,
  run = function(record, names)
    if #filled(record, names) > 0 then return true end
    return nil, quoted(names)
  end,
}

checks.conditional_at_least_one_of = {
  missing = true,
  invalid = true,
  from = { "if_field", "then_at_least_one_of", "else_then_at_least_one_of" },
  run = function(record, check, schema)
    local value = get(record, check.if_field)
    if value == nil then return true end
    local names, text = check.then_at_least_one_of, check.then_err
    if not holds(schema, check.if_field, check.if_match, value) then
      if not check.else_match or not holds(schema, check.if_field, check.else_match, value) then
        return true
      end
      names, text = check.else_then_at_least_one_of, check.else_then_err
    end
    if #filled(record, names) > 0 then return true end
    return nil, quoted(names), text and text:format(quoted(names))
  end,
}

checks.only_one_of = {
  invalid = true,
  run = function(record, names)
    if #filled(record, names) == 1 then return true end
    return nil, quoted(names)
  end,
}

checks.distinct = {
  invalid = true,
  run = function(record, names)
    local seen = {}
    local found = filled(record, names)
    for index = 1, #found do
      local value = get(record, found[index])
      if seen[value] then return nil, quoted(names) end
      seen[value] = true
    end
    return true
  end,
}

checks.conditional = {
  invalid = true,
  from = { "if_field", "then_field" },
  needs = { if_field = true },
  run = function(record, check, schema, errors)
    local value, other = get(record, check.if_field), get(record, check.then_field)
    if other == nil then other = null end
    if not holds(schema, check.if_field, check.if_match, value) then return true end
    if check.then_match.required == true and other == null then
      set(errors, check.then_field, texts.REQUIRED)
      return nil, check.if_field
    end
    local ok, why = holds(schema, check.then_field, check.then_match, other)
    if ok then return true end
    set(errors, check.then_field, why)
    return nil, check.if_field, check.then_err and check.then_err:format(check.if_field)
  end,
}

checks.custom_entity_check = {
  from = { "field_sources" },
  needs = { field_sources = true },
  run = function(record, check) return check.fn(record) end,
}

checks.mutually_required = {
  missing = true,
  run = function(record, names)
    local count = #filled(record, names)
    if count == 0 or count == #names then return true end
    return nil, quoted(names)
  end,
}

checks.mutually_exclusive = {
  missing = true,
  run = function(record, names)
    if #filled(record, names) <= 1 then return true end
    return nil, quoted(names)
  end,
}

checks.mutually_exclusive_sets = {
  missing = true,
  from = { "set1", "set2" },
  run = function(record, check)
    local one, other = filled(record, check.set1), filled(record, check.set2)
    if #one == 0 or #other == 0 then return true end
    return nil, "(" .. quoted(one) .. "), (" .. quoted(other) .. ")"
  end,
}

-- The fields that a check is about, and which of them must be there.
local function fields_of(check, about)
  if not check.from then
    local needed = {}
    for index = 1, #about do needed[about[index]] = true end
    return about, needed
  end
  local names, needed = {}, {}
  for index = 1, #check.from do
    local source = check.from[index]
    local given = about[source]
    if type(given) == "string" then given = { given } end
    for place = 1, given and #given or 0 do
      names[#names + 1] = given[place]
      if check.needs and check.needs[source] then needed[given[place]] = true end
    end
  end
  return names, needed
end

local function add(errors, text)
  local list = errors["@entity"]
  if not list then
    list = {}
    errors["@entity"] = list
  end
  list[#list + 1] = text
end

local function run(schema, name, about, record, whole, errors)
  local check = checks[name]
  if not check then return add(errors, "unknown entity check: " .. name) end
  local names, needed = fields_of(check, about)
  local seen, missing, any, wrong = {}, {}, false, false
  for index = 1, #names do
    local field = names[index]
    local value = get(record, field)
    if value ~= nil then
      any = true
      local definition = paths.field(schema, field)
      -- What a vault holds is not known here.
      if definition and definition.type == "string" and definition.referenceable
        and values.is_reference(value)
      then
        return
      end
      set(seen, field, value)
    elseif needed[field] and not check.missing and not about.run_with_missing_fields then
      missing[#missing + 1] = field
    end
    if get(errors, field) ~= nil then wrong = true end
  end
  if wrong and not check.invalid and not about.run_with_invalid_fields then return end
  if not any and not (check.missing and whole) then return end
  for index = 1, #missing do set(errors, missing[index], texts.REQUIRED_FOR_ENTITY_CHECK) end
  if #missing > 0 then return end
  local ok, why, own = check.run(seen, about, schema, errors)
  if ok then return end
  if own then return add(errors, own) end
  local text = texts[name:upper()]
  if text then why = text:format(why) end
  add(errors, why or texts.ENTITY_CHECK:format(name))
end

local public = { names = checks, add = add }

-- Runs a list of checks: `{ { at_least_one_of = { "a", "b" } }, ... }`.
function public.run(schema, list, record, whole, errors)
  for index = 1, list and #list or 0 do
    local name, about = next(list[index])
    if about and about ~= null then run(schema, name, about, record, whole, errors) end
  end
end

return public
