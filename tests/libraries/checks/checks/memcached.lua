local kit = require "kit"
local equal, fails = kit.equal, kit.fails
local memcached = kit.lib "memcached"
local peer = kit.peers.memcached

local function connected(port)
  local memc = assert(memcached:new())
  memc:set_timeout(5000)
  assert(memc:connect("127.0.0.1", port or peer.port))
  return memc
end

return {
  { "set, get and what is not there", function()
    local memc = connected()
    equal(memc:flush_all(), 1)
    equal(memc:set("dog", 32, 0, 7), 1)
    equal({ memc:get("dog") }, { "32", "7" })
    equal({ memc:get("cat") }, {})
    local long = ("x"):rep(100000)
    equal(memc:set("long one", long), 1)
    equal(memc:get("long one") == long, true)
    fails("NOT_STORED", memc:add("dog", 1))
    equal(memc:append("dog", "5"), 1)
    equal(memc:incr("dog", 10), "335")
    equal(memc:delete("dog"), 1)
    fails("NOT_FOUND", memc:delete("dog"))
    memc:close()
  end },
  { "several at once, and compare-and-set", function()
    local memc = connected()
    memc:set("a", 1)
    memc:set("b", 2)
    equal(memc:get({ "a", "b", "c" }), { a = { "1", "0" }, b = { "2", "0" } })
    local value, _, unique = memc:gets("a")
    equal(value, "1")
    equal(memc:cas("a", 3, unique), 1)
    fails("EXISTS", memc:cas("a", 4, unique))
    memc:close()
  end },
  { "versions and counters", function()
    local memc = connected()
    equal(type(memc:version()), "string")
    equal(#assert(memc:stats()) > 10, true)
    memc:close()
  end },
  { "connections are kept", function()
    local memc = connected()
    assert(memc:set_keepalive(10000, 10))
    memc = connected()
    equal(memc:get_reused_times(), 1)
    memc:close()
  end },
  { "a server that dies in the middle of a reply", function()
    for ending, why in pairs { close = "closed", stall = "timeout" } do
      local memc = connected(kit.relay(peer.port, ending, 30))
      memc:set_timeout(300)
      local value, _, message = memc:get("long one")
      equal({ value, message }, { nil, why })
    end
  end },
}
