-- `resty.openssl.digest`.
local pl = ...
local module, meta = pl.part("lib/running")("digest")
local begin = pl.part("lib/hash").begin
local setmetatable, tostring, select, concat = setmetatable, tostring, select, table.concat

-- Bytes of a text that can still be signed: what signs wants the text, not its digest.
local SIGNED_MAX = 65536

function module.new(name)
  name = name or "sha1"
  local self = begin({ algo = name, parts = {}, bytes = 0 }, name)
  if not self then return nil, 'digest.new: invalid digest type "' .. tostring(name) .. '"' end
  return (setmetatable(self, meta))
end

local update, reset = module.update, module.reset

function module:update(...)
  for index = 1, select("#", ...) do
    local part = select(index, ...)
    self.bytes = self.bytes + #part
    if self.bytes > SIGNED_MAX then self.parts = nil end
    if self.parts then self.parts[#self.parts + 1] = part end
  end
  return update(self, ...)
end

function module:reset()
  self.parts, self.bytes = {}, 0
  return reset(self)
end

-- What it was fed, when that is not too much.
function module:signed() return self.parts and concat(self.parts) end

return module
