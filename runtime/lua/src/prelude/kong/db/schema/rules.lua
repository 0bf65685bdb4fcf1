-- Rules for one value: each takes the value, what its schema gives the rule, and the field. A rule
-- answers true, or nil and maybe why not.
local texts = require "kong.db.schema.texts"
local paths = require "kong.db.schema.paths"

local null = ngx.null
local re_match, re_find = ngx.re.match, ngx.re.find
local pairs, tostring = pairs, tostring

local UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

local function shown(value) return value == null and "null" or tostring(value) end

local function length(value, field)
  local count = #value
  if field.type == "map" then
    for _ in pairs(value) do count = count + 1 end
  end
  return count
end

local function by_length(text, holds)
  return function(value, limit, field)
    if holds(length(value, field), limit) then return true end
    return nil, texts[text]:format(limit)
  end
end

local function contains(list, wanted)
  for index = 1, #list do
    if list[index] == wanted then return true end
  end
  return false
end

local rules = {}

function rules.eq(value, wanted)
  if value == wanted then return true end
  return nil, texts.EQ:format(shown(wanted))
end

function rules.ne(value, unwanted)
  if value ~= unwanted then return true end
  return nil, texts.NE:format(shown(unwanted))
end

function rules.not_one_of(value, options)
  if not contains(options, value) then return true end
  return nil, texts.NOT_ONE_OF:format(table.concat(options, ", "))
end

function rules.one_of(value, options)
  if contains(options, value) then return true end
  return nil, texts.ONE_OF:format(table.concat(options, ", "))
end

function rules.gt(value, limit)
  if value > limit then return true end
  return nil, texts.GT:format(tostring(limit))
end

function rules.timestamp(value) return value > 0 or nil end

function rules.uuid(value)
  return #value == 36 and re_find(value, UUID, "ioj") ~= nil or nil
end

function rules.is_regex(value)
  local _, why = re_match("any string", value)
  return why == nil or nil
end

function rules.between(value, limits)
  if value >= limits[1] and value <= limits[2] then return true end
  return nil, texts.BETWEEN:format(limits[1], limits[2])
end

rules.len_eq = by_length("LEN_EQ", function(count, limit) return count == limit end)
rules.len_min = by_length("LEN_MIN", function(count, limit) return count >= limit end)
rules.len_max = by_length("LEN_MAX", function(count, limit) return count <= limit end)

function rules.starts_with(value, prefix)
  if value:sub(1, #prefix) == prefix then return true end
  return nil, texts.STARTS_WITH:format(prefix)
end

function rules.match(value, pattern)
  if value:match(pattern) then return true end
  return nil, texts.MATCH:format(value)
end

function rules.not_match(value, pattern)
  if not value:match(pattern) then return true end
  return nil, texts.NOT_MATCH:format(value)
end

function rules.match_all(value, list)
  for index = 1, #list do
    if not value:match(list[index].pattern) then return nil, list[index].err end
  end
  return true
end

function rules.match_none(value, list)
  for index = 1, #list do
    if value:match(list[index].pattern) then return nil, list[index].err end
  end
  return true
end

function rules.match_any(value, any)
  for index = 1, #any.patterns do
    if value:match(any.patterns[index]) then return true end
  end
  return nil, any.err
end

function rules.contains(list, wanted)
  if contains(list, wanted) then return true end
  return nil, texts.CONTAINS:format(wanted)
end

function rules.mutually_exclusive_subsets(list, subsets)
  local touched = {}
  for index = 1, #subsets do
    for place = 1, #list do
      if contains(subsets[index], list[place]) then
        touched[#touched + 1] = subsets[index]
        break
      end
    end
  end
  if #touched <= 1 then return true end
  return nil, texts.MUTUALLY_EXCLUSIVE_SETS:format(paths.quoted(touched))
end

function rules.custom_validator(value, check) return check(value) end

-- The order in which they are tried: the first that fails is what is reported.
local order = {
  "eq", "ne", "not_one_of", "one_of", "gt", "timestamp", "uuid", "is_regex", "between",
  "len_eq", "len_min", "len_max", "starts_with", "not_match", "match_none", "match", "match_all",
  "match_any", "contains", "custom_validator", "mutually_exclusive_subsets",
}

-- Tries all rules of a field on a value.
local function check(field, value)
  for index = 1, #order do
    local name = order[index]
    local rule = field[name]
    -- Empty texts are refused unless a schema allows them.
    if rule == nil and name == "len_min" and field.type == "string" then rule = 1 end
    if rule ~= nil then
      local ok, why = rules[name](value, rule, field)
      if not ok then
        if why == nil then why = (texts[name:upper()] or texts.VALIDATION):format(shown(value)) end
        return nil, field.err or why
      end
    end
  end
  return true
end

return { all = rules, check = check }
