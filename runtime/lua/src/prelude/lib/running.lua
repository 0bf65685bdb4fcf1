-- What `resty.openssl`'s digest, hmac and mac have in common: an object that is fed and asked.
local pl = ...
local slow = pl.slow
local select, type, getmetatable = select, type, debug.getmetatable
local hash_update, hash_final, hash_reset = slow.hash_update, slow.hash_final, slow.hash_reset

return function(name)
  local module = {}
  local meta = { __index = module }

  function module.istype(value)
    return type(value) == "table" and getmetatable(value) == meta
  end

  function module:update(...)
    for index = 1, select("#", ...) do
      local ok, why = hash_update(self.ctx, (select(index, ...)))
      if not ok then return false, name .. ":update: " .. why end
    end
    return true
  end

  function module:final(s)
    if s then
      local ok, why = hash_update(self.ctx, s)
      if not ok then return false, name .. ":final: " .. why end
    end
    return hash_final(self.ctx)
  end

  function module:reset() return hash_reset(self.ctx) == true end
  function module.get_provider_name() return "pilotlight" end

  return module, meta
end
