-- `resty.openssl.bn`: large numbers. They are kept as bytes, the most significant first, and as limbs:
-- each is made of the other when it is asked for.
local pl = ...
local limbs = pl.part("lib/limbs")
local rawget, select = rawget, select
local type, error, setmetatable, tonumber = type, error, setmetatable, tonumber
local byte, char, concat, floor, format = string.byte, string.char, table.concat, math.floor, string.format

local module = {}
local meta = {}

function meta.__index(self, key)
  if key ~= "ctx" then return module[key] end
  self.ctx = limbs.write(self.limbs)
  return self.ctx
end

local function make(bytes, is_negative)
  bytes = bytes:gsub("^%z+", "")
  return (setmetatable({ ctx = bytes, negative = bytes ~= "" and is_negative == true }, meta))
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
  local bytes = digits:gsub("..", function(pair) return (char(tonumber(pair, 16))) end)
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
  self.ctx, self.limbs, self.negative = other.ctx, nil, other.negative
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
  return sign(self) .. self.ctx:gsub(".", function(c) return (format("%02X", byte(c))) end)
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

function module:to_number() return (tonumber(self:to_dec())) end
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

local function of(digits, is_negative)
  return (setmetatable({ limbs = digits, negative = #digits > 0 and is_negative == true }, meta))
end

-- An operand: its limbs, and whether it is negative.
local function operand(value, name, place)
  local digits = type(value) == "table" and rawget(value, "limbs")
  if digits then return digits, value.negative end
  if type(value) == "number" then value = module.new(value) end
  if not module.istype(value) then
    error("bn." .. name .. ": expect a bn instance or a number at #" .. place, 3)
  end
  value.limbs = limbs.read(value.ctx)
  return value.limbs, value.negative
end

local function sum(a, is_a, b, is_b)
  if is_a == is_b then return of(limbs.add(a, b), is_a) end
  if limbs.compare(a, b) < 0 then return of(limbs.sub(b, a), is_b) end
  return of(limbs.sub(a, b), is_a)
end

function module.add(a, b)
  local x, is_x = operand(a, "add", 1)
  return sum(x, is_x, operand(b, "add", 2))
end

function module.sub(a, b)
  local x, is_x = operand(a, "sub", 1)
  local y, is_y = operand(b, "sub", 2)
  return sum(x, is_x, y, not is_y)
end

function module.mul(a, b)
  local x, is_x = operand(a, "mul", 1)
  local y, is_y = operand(b, "mul", 2)
  return of(limbs.mul(x, y), is_x ~= is_y)
end

-- Towards zero; the rest has the sign of what is divided.
local function divide(a, b, name)
  local x, is_x = operand(a, name, 1)
  local y, is_y = operand(b, name, 2)
  if #y == 0 then return nil, "bn:" .. name .. ": div by zero" end
  local quotient, rest = limbs.divide(x, y)
  return of(quotient, is_x ~= is_y), of(rest, is_x)
end

function module.div(a, b)
  local quotient, why = divide(a, b, "div")
  if not quotient then return nil, why end
  return quotient
end
module.idiv = module.div
function module.mod(a, b)
  local quotient, rest = divide(a, b, "mod")
  if not quotient then return nil, rest end
  return rest
end
function module.sqr(a) return module.mul(a, a) end
function module.unm(a)
  local x, is_x = operand(a, "unm", 1)
  return of(x, not is_x)
end

-- From 0 to `m`, which counts as positive.
local function residue(value, m, name)
  local digits, is_negative = operand(value, name, 1)
  local modulus = operand(m, name, 3)
  if #modulus == 0 then error("bn." .. name .. ": div by zero", 2) end
  local _, rest = limbs.divide(digits, modulus)
  if is_negative and #rest > 0 then rest = limbs.sub(modulus, rest) end
  return of(rest)
end

for _, name in ipairs { "add", "sub", "mul" } do
  local work, full = module[name], "mod_" .. name
  module[full] = function(a, b, m) return residue(work(a, b), m, full) end
end
function module.mod_sqr(a, m) return residue(module.mul(a, a), m, "mod_sqr") end

-- By squares, from the exponent's first bit on.
local function power(base, exponent, reduce)
  local digits, is_negative = operand(exponent, "exp", 2)
  if is_negative then error("bn.exp: the exponent is negative", 2) end
  local made = reduce(of { 1 })
  for at = #digits, 1, -1 do
    for bit = 23, 0, -1 do
      made = reduce(module.mul(made, made))
      if floor(digits[at] / 2 ^ bit) % 2 == 1 then made = reduce(module.mul(made, base)) end
    end
  end
  return made
end

function module.exp(a, b) return power(a, b, function(value) return value end) end
module.pow = module.exp
function module.mod_exp(a, b, m)
  return power(a, b, function(value) return residue(value, m, "mod_exp") end)
end
module.mod_pow = module.mod_exp

function module.gcd(a, b)
  local x, y = operand(a, "gcd", 1), operand(b, "gcd", 2)
  while #y > 0 do x, y = y, select(2, limbs.divide(x, y)) end
  return of(x)
end

function module:lshift(bits) return module.mul(self, module.exp(2, bits)) end
function module:rshift(bits) return module.div(self, module.exp(2, bits)) end

meta.__add, meta.__sub, meta.__mul, meta.__unm = module.add, module.sub, module.mul, module.unm
meta.__div, meta.__mod, meta.__pow = module.div, module.mod, module.exp

return module
