local kit = require "kit"
local equal = kit.equal
local session = kit.lib "session"

local function steps(options)
  options.secret = "a secret of this test"
  options.cookie_secure = false
  return function()
    local step = ngx.var.arg_step
    if step == "start" then
      local made = session.new(options)
      made:set_subject("ada")
      made:set("quote", ("the quick brown fox "):rep(20))
      assert(made:save())
    elseif step == "read" then
      local found, why, exists = session.open(options)
      equal({ why, exists }, { nil, true })
      equal({ found:get_subject(), #found:get("quote") }, { "ada", 400 })
    elseif step == "change" then
      local found, why, exists = session.start(options)
      equal({ why, exists }, { nil, true })
      found:set("count", 1)
      assert(found:save())
    elseif step == "changed" then
      local found = session.open(options)
      equal({ found:get("count"), #found:get("quote") }, { 1, 400 })
      found:close()
    elseif step == "other" then
      local other = {}
      for key, value in pairs(options) do other[key] = value end
      other.secret = "another secret"
      equal(select(3, session.open(other)), false)
    elseif step == "destroy" then
      local found = session.open(options)
      assert(found:destroy())
    else
      equal(select(3, session.open(options)), false)
    end
  end
end

return {
  { "all in a cookie", client = "session", steps { storage = "cookie" } },
  { "in a shared dictionary", client = "session", steps { storage = "shm", shm = { zone = "sessions" } } },
  { "in Redis", client = "session",
    steps { storage = "redis", redis = { host = "127.0.0.1", port = kit.peers.redis.port } } },
}
