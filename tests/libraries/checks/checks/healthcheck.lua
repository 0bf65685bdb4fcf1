local kit = require "kit"
local equal = kit.equal
local events = require "resty.worker.events"
local healthcheck = kit.lib "healthcheck"
local peers = kit.peers
local one, two = peers.one.port, peers.two.port

local function healthy(checker, port)
  return checker:get_target_status("127.0.0.1", port) == true
end

return {
  { "active checks of two targets", function()
    local checker = assert(healthcheck.new({
      name = "active", shm_name = "health",
      checks = { active = {
        type = "http", http_path = "/health", timeout = 1,
        healthy = { interval = 0.1, successes = 1 },
        unhealthy = { interval = 0.1, http_failures = 2, tcp_failures = 1 },
      } },
    }))
    local seen = {}
    events.register(function(target, event)
      seen[#seen + 1] = event .. " " .. target.port
    end, checker.EVENT_SOURCE)
    for _, port in ipairs { one, two, 1 } do assert(checker:add_target("127.0.0.1", port, nil, true)) end
    kit.till("that none listens on port 1", function() return not healthy(checker, 1) end)
    equal({ healthy(checker, one), healthy(checker, two) }, { true, true })
    kit.ask "status one 503"
    kit.till("that one is ill", function() return not healthy(checker, one) end)
    equal(healthy(checker, two), true)
    kit.ask "status one 200"
    kit.till("that one is well", function() return healthy(checker, one) end)
    assert(checker:remove_target("127.0.0.1", 1))
    local wanted = "unhealthy " .. one .. ".*,healthy " .. one
    kit.till("the events", function() return table.concat(seen, ","):find(wanted) end)
    checker:stop()
    checker:clear()
  end },
  { "passive checks", function()
    local checker = assert(healthcheck.new({
      name = "passive", shm_name = "health",
      checks = { passive = {
        healthy = { successes = 2 }, unhealthy = { http_failures = 2, tcp_failures = 1, timeouts = 2 },
      } },
    }))
    for _, port in ipairs { one, two } do assert(checker:add_target("127.0.0.1", port, nil, true)) end
    kit.till("both targets", function() return healthy(checker, one) and healthy(checker, two) end)
    assert(checker:report_http_status("127.0.0.1", one, nil, 503, "passive"))
    equal(healthy(checker, one), true)
    assert(checker:report_http_status("127.0.0.1", one, nil, 503, "passive"))
    kit.till("that one is ill", function() return not healthy(checker, one) end)
    assert(checker:report_tcp_failure("127.0.0.1", two, nil, nil, "passive"))
    kit.till("that two is ill", function() return not healthy(checker, two) end)
    for _ = 1, 2 do assert(checker:report_http_status("127.0.0.1", two, nil, 200, "passive")) end
    kit.till("that two is well", function() return healthy(checker, two) end)
    checker:stop()
    checker:clear()
  end },
}
