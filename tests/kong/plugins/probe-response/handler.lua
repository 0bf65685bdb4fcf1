local handler = require "kong.plugins.probe.run" { "response" }
handler.configure = nil
return handler
