-- kong.ip: whose forwarding headers are believed (`[gateway] forwarded.trust`).
local matcher = require "resty.ipmatcher"

local trust = matcher.new(kong.configuration.trusted_ips or {})

return { is_trusted = function(ip) return trust ~= nil and trust:match(ip) == true end }
