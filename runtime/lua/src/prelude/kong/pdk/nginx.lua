-- kong.nginx: what the gateway counts, under nginx's names.
local tonumber = tonumber

local nginx = {}

function nginx.get_subsystem() return ngx.config.subsystem end

function nginx.get_statistics()
  local var = ngx.var
  local function count(name) return tonumber(var[name]) or 0 end
  local active = count "connections_active"
  return {
    connections_active = active,
    connections_reading = count "connections_reading",
    connections_writing = count "connections_writing",
    connections_waiting = count "connections_waiting",
    connections_accepted = count "connections_accepted",
    connections_handled = count "connections_handled",
    total_requests = count "requests_total",
  }
end

return nginx
