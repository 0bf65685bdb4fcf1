local kit = require "kit"
local equal = kit.equal
local mlcache = kit.lib "mlcache"

local function made(name, options)
  options = options or {}
  options.shm_miss, options.shm_locks = "misses", "locks"
  return assert(mlcache.new(name, "cache", options))
end

return {
  { "three levels", function()
    local cache, calls = made("levels", { ipc_shm = "ipc" }), 0
    local function load(key)
      calls = calls + 1
      return { value = key }
    end
    local value, why, level = cache:get("a", nil, load, "x")
    equal({ value, why, level, calls }, { { value = "x" }, nil, 3, 1 })
    equal({ cache:get("a", nil, load) }, { { value = "x" }, nil, 1 })
    cache.lru:flush_all()
    equal({ cache:get("a", nil, load) }, { { value = "x" }, nil, 2 })
    local left, _, stored = cache:peek("a")
    equal({ left > 0, stored, calls }, { true, { value = "x" }, 1 })
    assert(cache:delete("a"))
    equal({ cache:peek("a") }, {})
  end },
  { "misses, and failures of the callback", function()
    local cache, calls = made("misses", { neg_ttl = 1 }), 0
    local function none()
      calls = calls + 1
      return nil
    end
    equal({ cache:get("n", nil, none) }, { nil, nil, 3 })
    equal({ cache:get("n", nil, none) }, { nil, nil, 1 })
    equal(calls, 1)
    equal({ cache:get("e", nil, function() return nil, "broken" end) }, { nil, "broken" })
    local value, why = cache:get("t", nil, function() error("thrown") end)
    equal({ value, why:find("callback threw an error: .*thrown") ~= nil }, { nil, true })
  end },
  { "one callback for many who ask", function()
    local cache, calls, threads = made("stampede"), 0, {}
    local function load()
      calls = calls + 1
      ngx.sleep(0.05)
      return calls
    end
    for n = 1, 20 do threads[n] = ngx.thread.spawn(cache.get, cache, "k", nil, load) end
    for n = 1, 20 do
      local ok, value = ngx.thread.wait(threads[n])
      equal({ ok, value }, { true, 1 })
    end
    equal(calls, 1)
  end },
  { "what is stale is kept when its source fails", function()
    local cache = made("stale", { ttl = 0.1, resurrect_ttl = 5 })
    equal((cache:get("k", nil, function() return "old" end)), "old")
    ngx.sleep(0.15)
    equal({ cache:get("k", nil, function() return nil, "down" end) }, { "old", nil, 4 })
  end },
  { "bulks, and other workers' events", function()
    local cache = made("bulk", { ipc_shm = "ipc" })
    local results = assert(cache:get_bulk({
      "one", nil, function() return 1 end, nil,
      "two", nil, function() return 2 end, nil, n = 2,
    }, { concurrency = 2 }))
    equal({ results[1], results[4] }, { 1, 2 })
    assert(cache:set("one", nil, 10))
    equal((cache:get("one")), 10)
    assert(cache:update())
    assert(cache:purge(true))
    equal({ cache:peek("one") }, {})
  end },
}
