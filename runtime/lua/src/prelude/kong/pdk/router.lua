-- kong.router: the route and its upstream, as the manifest has them.
local phase = require "kong.pdk.private.phases"

local PHASES = phase.phases
local MATCHED = phase.new(PHASES.access, PHASES.header_filter, PHASES.response, PHASES.body_filter,
  PHASES.log)

local router = {}

function router.get_route()
  phase.check(MATCHED)
  return ngx.ctx.route
end

function router.get_service()
  phase.check(MATCHED)
  return ngx.ctx.service
end

return router
