-- kong.observability.tracing.propagation.schema: how a tracing plugin takes and gives contexts.
local Schema = require "kong.db.schema"
local is_header = require("kong.tools.http").validate_header_name

local formats = { "b3", "b3-single", "w3c", "jaeger", "ot", "datadog", "aws", "gcp", "instana" }
local extractors, injectors = {}, { "preserve" }
for _, name in ipairs(formats) do
  if name ~= "b3-single" then extractors[#extractors + 1] = name end
  injectors[#injectors + 1] = name
end

local function list(options)
  return { type = "array", elements = { type = "string", one_of = options } }
end

return Schema.define {
  type = "record",
  fields = {
    { extract = list(extractors) },
    { clear = { type = "array", elements = { type = "string", custom_validator = is_header } } },
    { inject = list(injectors) },
    { default_format = { type = "string", one_of = formats, required = true } },
  },
}
