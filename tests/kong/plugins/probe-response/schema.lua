local schema = require("kong.tools.table").cycle_aware_deep_copy(require "kong.plugins.probe.schema")
schema.name = "probe-response"
return schema
