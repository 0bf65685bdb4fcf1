local kit = require "kit"
local equal, fails = kit.equal, kit.fails
local lock = kit.lib "lock"

return {
  { "one at a time", function()
    local order = {}
    local function work(name, wait)
      return function()
        local mine = assert(lock:new("locks"))
        local elapsed = assert(mine:lock("key"))
        order[#order + 1] = name
        ngx.sleep(wait)
        order[#order + 1] = name
        assert(mine:unlock())
        return elapsed
      end
    end
    local first, second = ngx.thread.spawn(work("a", 0.05)), ngx.thread.spawn(work("b", 0))
    local _, one = ngx.thread.wait(first)
    local _, two = ngx.thread.wait(second)
    equal(order, { "a", "a", "b", "b" })
    equal({ one, two > 0 }, { 0, true })
  end },
  { "time-outs, expiry and misuse", function()
    local mine, other = assert(lock:new("locks", { exptime = 0.2 })), assert(lock:new("locks", { timeout = 0.05 }))
    assert(mine:lock("short"))
    fails("locked", mine:lock("short"))
    fails("timeout", other:lock("short"))
    ngx.sleep(0.2)
    assert(other:lock("short"))
    assert(other:unlock())
    fails("unlocked", other:unlock())
    fails("dictionary not found", lock:new("nothing"))
  end },
  { "what is dropped is unlocked", function()
    local function drop() assert(assert(lock:new("locks", { exptime = 30 })):lock("dropped")) end
    drop()
    kit.till("the collector", function()
      collectgarbage()
      return ngx.shared.locks:get("dropped") == nil
    end)
  end },
}
