local kit = require "kit"
local equal = kit.equal

local function checks(name)
  local lrucache = require("resty." .. name)
  return function()
    local cache = assert(lrucache.new(3))
    cache:set("dog", 32)
    cache:set("cat", { 56 })
    equal({ (cache:get("dog")), (cache:get("cat")) }, { 32, { 56 } })
    for n = 1, 3 do cache:set("n" .. n, n) end
    equal({ (cache:get("dog")), (cache:get("n3")) }, { nil, 3 })
    cache:set("short", 1, 0.05)
    equal((cache:get("short")), 1)
    ngx.sleep(0.1)
    local value, stale = cache:get("short")
    equal({ value, stale }, { nil, 1 })
    cache:delete("n3")
    equal(cache:get("n3"), nil)
    cache:flush_all()
    equal(cache:get("n2"), nil)
    cache = assert(lrucache.new(500))
    for n = 1, 2000 do cache:set(n, n) end
    equal({ (cache:get(2000)), (cache:get(1)) }, { 2000, nil })
  end
end

return { { "the table", checks "lrucache" }, { "the table in FFI", checks "lrucache.pureffi" } }
