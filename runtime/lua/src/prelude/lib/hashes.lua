-- Modules like `resty.sha256`: a hash that is fed, asked, and begun anew.
local pl = ...
local hash = pl.part("lib/hash")
local begin, feed, ask = hash.begin, hash.feed, hash.ask
local setmetatable, sub = setmetatable, string.sub

return function(name)
  local module = { _VERSION = "0.17" }
  local meta = { __index = module }

  function module.new() return (setmetatable(begin({}, name), meta)) end

  function module.update(self, s, length)
    if length then s = sub(s, 1, length) end
    return feed(self, s) == true
  end

  function module.final(self) return (ask(self)) end
  module.reset = hash.reset

  return module
end
