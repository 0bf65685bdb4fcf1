-- `resty.openssl.x509.store`: certificates that are trusted, for whoever checks others by them.
local pl = ...
local x509 = pl.part("lib/resty/openssl/x509")
local type, setmetatable, getmetatable = type, setmetatable, debug.getmetatable

local module = {}
local meta = { __index = module }

function module.new() return (setmetatable({ certificates = {} }, meta)) end

function module.istype(value) return type(value) == "table" and getmetatable(value) == meta end

function module:add(item)
  if not x509.istype(item) then
    return false, "x509.store:add: expect an x509 instance at #1"
  end
  self.certificates[#self.certificates + 1] = item
  return true
end

return module
