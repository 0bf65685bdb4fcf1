-- `resty.openssl.x509.name`: a name of a certificate, read only.
local pl = ...
local objects = pl.part("lib/resty/openssl/objects")
local type, setmetatable, getmetatable = type, setmetatable, debug.getmetatable
local sort, concat = table.sort, table.concat

local module = {}

local function entry(part)
  local object = objects.find(part.id) or { id = part.id }
  return { id = object.id, nid = object.nid, sn = object.sn, ln = object.ln, blob = part.value }
end

local function iterate(self)
  local index = 0
  return function()
    index = index + 1
    local part = self.ctx[index]
    if not part then return nil end
    local object = entry(part)
    return object.sn or object.ln or object.id, object
  end
end

local meta = {
  __index = module, __pairs = iterate, __len = function(self) return #self.ctx end,
}

-- Of a certificate's list of `{ id, value }`.
function module.of(parts) return (setmetatable({ ctx = parts }, meta)) end

function module.new() return module.of {} end
function module.istype(value) return type(value) == "table" and getmetatable(value) == meta end
function module.dup(ctx) return module.of(ctx) end

function module:add(name, value)
  local object = objects.find(name)
  if not object then return nil, "x509.name:add: invalid NID text " .. (name or "nil") end
  self.ctx[#self.ctx + 1] = { id = object.id, value = value }
  return self
end

function module:find(name, last)
  local object = objects.find(name)
  if not object then return nil, nil, "x509.name:find: invalid NID text " .. (name or "nil") end
  for index = (last or 0) + 1, #self.ctx do
    if self.ctx[index].id == object.id then return entry(self.ctx[index]), index end
  end
  return nil
end

module.each = iterate

function module:all()
  local all = {}
  for key, object in iterate(self) do all[key] = object end
  return all
end

function module:tostring()
  local parts = {}
  for key, object in iterate(self) do parts[#parts + 1] = key .. "=" .. object.blob end
  sort(parts)
  return (concat(parts, "/"))
end
meta.__tostring = module.tostring

return module
