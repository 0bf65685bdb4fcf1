local kit = require "kit"
local equal, fails = kit.equal, kit.fails

return {
  { "requests a second", function()
    local limit = assert(kit.lib("limit-traffic", "limit.req").new("limits", 10, 2))
    equal({ limit:incoming("r", true) }, { 0, 0 })
    local delay, excess = limit:incoming("r", true)
    equal({ delay > 0.05 and delay <= 0.1, excess > 0.5 }, { true, true })
    limit:incoming("r", true)
    fails("rejected", limit:incoming("r", true))
    limit:set_rate(1000)
    ngx.sleep(0.02)
    equal((limit:incoming("r", true)), 0)
    assert(limit:uncommit("r"))
  end },
  { "connections", function()
    local limit = assert(kit.lib("limit-traffic", "limit.conn").new("limits", 1, 1, 0.05))
    equal({ limit:incoming("c", true) }, { 0, 1 })
    equal({ limit:incoming("c", true) }, { 0.05, 2 })
    fails("rejected", limit:incoming("c", true))
    equal(limit:leaving("c", 0.5), 1)
    equal({ limit:incoming("c", true) }, { 0.275, 2 })
  end },
  { "a count", function()
    local limit = assert(kit.lib("limit-traffic", "limit.count").new("limits", 2, 0.2))
    equal({ limit:incoming("n", true) }, { 0, 1 })
    equal({ limit:incoming("n", true) }, { 0, 0 })
    fails("rejected", limit:incoming("n", true))
    ngx.sleep(0.25)
    equal({ limit:incoming("n", true) }, { 0, 1 })
  end },
  { "several together", function()
    local req = kit.lib("limit-traffic", "limit.req")
    local traffic = kit.lib("limit-traffic", "limit.traffic")
    local states = {}
    local wide, narrow = assert(req.new("limits", 1000, 100)), assert(req.new("limits", 2, 1))
    local delay = assert(traffic.combine({ wide, narrow }, { "wide", "narrow" }, states))
    equal({ delay, #states }, { 0, 2 })
    delay = assert(traffic.combine({ wide, narrow }, { "wide", "narrow" }, states))
    equal(delay > 0.3, true)
    fails("rejected", traffic.combine({ wide, narrow }, { "wide", "narrow" }, states))
    fails("~not found", req.new("nothing", 1, 1))
  end },
}
