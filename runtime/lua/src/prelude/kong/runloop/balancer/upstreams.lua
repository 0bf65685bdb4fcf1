-- kong.runloop.balancer.upstreams
local _, dialect = ...

local upstreams = {}

function upstreams.get_all_upstreams()
  local all = {}
  for name, service in pairs(dialect.services) do all[name] = service.id end
  return all
end

function upstreams.get_upstream_by_name(name)
  local service = dialect.services[name]
  if not service then return nil end
  return { id = service.id, name = name }
end

-- Health is the gateway's own metric (`pilotlight_upstream_*`).
function upstreams.get_upstream_health() return {} end
function upstreams.get_balancer_health() return nil, "health is in the gateway's own metrics" end

return upstreams
