-- What `resty.openssl`'s digest, hmac and mac have in common: an object that is fed and asked.
local pl = ...
local hash = pl.part("lib/hash")
local select, type, getmetatable = select, type, debug.getmetatable
local feed, ask = hash.feed, hash.ask

return function(name)
  local module = {}
  local meta = { __index = module }

  function module.istype(value)
    return type(value) == "table" and getmetatable(value) == meta
  end

  function module:update(...)
    for index = 1, select("#", ...) do
      local ok, why = feed(self, (select(index, ...)))
      if not ok then return false, name .. ":update: " .. why end
    end
    return true
  end

  function module:final(s)
    local digest, why = ask(self, s)
    if not digest then return false, name .. ":final: " .. why end
    return digest
  end

  module.reset = hash.reset
  function module.get_provider_name() return "pilotlight" end

  return module, meta
end
