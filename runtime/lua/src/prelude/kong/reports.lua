-- kong.reports: this gateway reports to nobody.
local function nothing() end

return {
  init = nothing, init_worker = nothing, toggle = nothing, log = nothing, send = nothing,
  send_ping = nothing, add_ping_value = nothing, add_immutable_value = nothing,
  get_ping_value = nothing, configure_ping = nothing, retrieve_redis_version = nothing,
}
