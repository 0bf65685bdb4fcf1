-- `resty.openssl.bn`: large numbers, as far as they are read, written and compared. They are kept as
-- bytes, the most significant first.
local type, error, setmetatable, tonumber = type, error, setmetatable, tonumber
local byte, char, concat, floor, format = string.byte, string.char, table.concat, math.floor, string.format

local module = {}
local meta = { __index = module }

local function make(bytes, is_negative)
  bytes = bytes:gsub("^%z+", "")
  return setmetatable({ ctx = bytes, negative = is_negative and bytes ~= "" }, meta)
end

function module.istype(value)
  return type(value) == "table" and debug.getmetatable(value) == meta
end

function module.from_binary(s)
  if type(s) ~= "string" then return nil, "bn.from_binary: expect a string at #1" end
  return make(s)
end

function module.from_hex(s)
  if type(s) ~= "string" then return nil, "bn.from_hex: expect a string at #1" end
  local sign, digits = s:match("^(%-?)(%x+)")
  if not digits then return nil, "bn.from_hex: set_hex" end
  if #digits % 2 == 1 then digits = "0" .. digits end
  local bytes = digits:gsub("..", function(pair) return char(tonumber(pair, 16)) end)
  return make(bytes, sign == "-")
end

function module.from_dec(s)
  if type(s) ~= "string" then return nil, "bn.from_dec: expect a string at #1" end
  local sign, digits = s:match("^(%-?)(%d+)")
  if not digits then return nil, "bn.from_dec: set_dec" end
  -- Limbs of a byte, the least significant first.
  local limbs = {}
  for index = 1, #digits do
    local carry = byte(digits, index) - 48
    for place = 1, #limbs do
      carry = limbs[place] * 10 + carry
      limbs[place] = carry % 256
      carry = floor(carry / 256)
    end
    if carry > 0 then limbs[#limbs + 1] = carry end
  end
  for place = 1, #limbs do limbs[place] = char(limbs[place]) end
  return make(concat(limbs):reverse(), sign == "-")
end

function module.new(some, base)
  if some == nil then return make("") end
  if type(some) == "number" then return module.from_dec(format("%.0f", some)) end
  if type(some) ~= "string" then
    return nil, "bn.new: set_bn: expect nil, a number or a string at #1"
  end
  if base == nil or base == 10 then return module.from_dec(some) end
  if base == 16 then return module.from_hex(some) end
  if base == 2 then return module.from_binary(some) end
  return nil, "bn.new: set_bn: unsupported base: " .. base
end

-- `ctx` of another one.
function module.dup(ctx)
  if type(ctx) ~= "string" then return nil, "bn.dup: expect a bn ctx at #1" end
  return make(ctx)
end

function module:set(some, base)
  local other, why = module.new(some, base)
  if not other then return nil, why end
  self.ctx, self.negative = other.ctx, other.negative
  return self
end

function module:to_binary(pad)
  if pad and type(pad) ~= "number" then return nil, "bn:to_binary: expect a number at #1" end
  local bytes = self.ctx
  if pad then
    if #bytes > pad then return nil, "bn:to_binary" end
    bytes = ("\0"):rep(pad - #bytes) .. bytes
  end
  if bytes == "" then return nil, "bn:to_binary" end
  return bytes
end

local function sign(self) return self.negative and "-" or "" end

function module:to_hex()
  if self.ctx == "" then return "0" end
  return sign(self) .. self.ctx:gsub(".", function(c) return format("%02X", byte(c)) end)
end

function module:to_dec()
  if self.ctx == "" then return "0" end
  -- Limbs of six digits, the least significant first.
  local limbs = {}
  for index = 1, #self.ctx do
    local carry = byte(self.ctx, index)
    for place = 1, #limbs do
      carry = limbs[place] * 256 + carry
      limbs[place] = carry % 1000000
      carry = floor(carry / 1000000)
    end
    if carry > 0 then limbs[#limbs + 1] = carry end
  end
  local parts = { format("%d", limbs[#limbs]) }
  for place = #limbs - 1, 1, -1 do parts[#parts + 1] = format("%06d", limbs[place]) end
  return sign(self) .. concat(parts)
end
meta.__tostring = module.to_dec

function module:to_number() return tonumber(self:to_dec()) end
module.tonumber = module.to_number

function module:is_zero() return self.ctx == "" end
function module:is_one() return self.ctx == "\1" and not self.negative end
function module:is_odd() return self.ctx ~= "" and byte(self.ctx, -1) % 2 == 1 end
function module:is_word(word) return self:to_number() == word end

-- Below, equal or above.
local function compare(a, b)
  if a.negative ~= b.negative then return a.negative and -1 or 1 end
  local x, y = a.ctx, b.ctx
  if a.negative then x, y = y, x end
  if #x ~= #y then return #x < #y and -1 or 1 end
  return x == y and 0 or x < y and -1 or 1
end
function meta.__eq(a, b) return compare(a, b) == 0 end
function meta.__lt(a, b) return compare(a, b) < 0 end
function meta.__le(a, b) return compare(a, b) <= 0 end

local function absent() error("bn: arithmetic is not supported", 2) end
for _, name in ipairs { "add", "sub", "mul", "div", "mod", "unm", "pow" } do
  meta["__" .. name] = absent
end

return module
