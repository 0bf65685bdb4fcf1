-- Modules like `resty.sha256`: a hash that is fed, asked, and begun anew.
local pl = ...
local slow = pl.slow
local hash_new, hash_update, hash_final, hash_reset =
  slow.hash_new, slow.hash_update, slow.hash_final, slow.hash_reset
local setmetatable, sub = setmetatable, string.sub

return function(hash)
  local module = { _VERSION = "0.17" }
  local meta = { __index = module }

  function module.new() return (setmetatable({ _ctx = hash_new(hash) }, meta)) end

  function module.update(self, s, length)
    if length then s = sub(s, 1, length) end
    return hash_update(self._ctx, s) == true
  end

  function module.final(self) return hash_final(self._ctx) end
  function module.reset(self) return hash_reset(self._ctx) == true end

  return module
end
