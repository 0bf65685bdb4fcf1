-- kong.telemetry: logs for a collector, of which this gateway has none; what plugins pass is checked.
local hooks = require "kong.dynamic_hook"

local type, ipairs = type, ipairs

local telemetry = {}

function telemetry.log(plugin, config, kind, message, attributes)
  for _, one in ipairs {
    { "plugin_name", plugin, "string" }, { "plugin_config", config, "table" },
    { "message_type", kind, "string" }, { "message", message, "string", true },
    { "attributes", attributes, "table", true },
  } do
    local name, value, wanted, optional = one[1], one[2], one[3], one[4]
    if type(value) ~= wanted and not (optional and not value) then
      return nil, name .. " must be a " .. wanted
    end
  end
  if not hooks.is_group_enabled "observability_logs" then
    return nil, "Telemetry logging is disabled: log entry will not be recorded. Ensure the "
      .. "OpenTelemetry plugin is correctly configured to report logs in order to use this feature."
  end
  attributes = attributes or {}
  attributes["message.type"], attributes["plugin.name"] = kind, plugin
  attributes["plugin.id"] = config.__plugin_id
  attributes["plugin.instance.name"] = config.plugin_instance_name
  hooks.run_hook("observability_logs", "push", 5, attributes, nil, message)
  return true
end

return telemetry
