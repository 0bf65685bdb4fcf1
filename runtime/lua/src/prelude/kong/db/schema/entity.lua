-- Schemas of rows and of plugins: as others, but that a record is there unless it says otherwise.
local Schema = require "kong.db.schema"

local next = next

local Entity = {}

local function require_records(record)
  for index = 1, #record.fields do
    local _, field = next(record.fields[index])
    if field.type == "record" and field.fields then
      if field.required == nil then field.required = true end
      require_records(field)
    end
  end
end

function Entity.new(definition)
  local schema, why = Schema.new(definition)
  if not schema then return nil, why end
  for name, field in schema:each_field() do
    if field.nilable then return nil, name .. ": Entities cannot have nilable types." end
    if field.type == "function" then
      return nil, name .. ": Entities cannot have function types."
    end
  end
  require_records(schema)
  schema.new_subschema = Entity.new_subschema
  return schema
end

function Entity.new_subschema(parent, key, definition)
  require_records(definition)
  return Schema.new_subschema(parent, key, definition)
end

return Entity
