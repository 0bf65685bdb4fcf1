-- Numbers of any size, not negative: lists of 24 bits each, the least significant first, without
-- zeros at the end. What is given is never changed.
local byte, char, concat, floor, max = string.byte, string.char, table.concat, math.floor, math.max

local BASE, PART = 2 ^ 24, 2 ^ -24

local limbs = {}

local function trim(a)
  local top = #a
  while top > 0 and a[top] == 0 do
    a[top] = nil
    top = top - 1
  end
  return a
end

-- Of bytes, the most significant first.
function limbs.read(s)
  local a, at = {}, #s
  while at > 0 do
    local high = at > 2 and byte(s, at - 2) or 0
    a[#a + 1] = byte(s, at) + (byte(s, at - 1) or 0) * 256 + high * 65536
    at = at - 3
  end
  return trim(a)
end

function limbs.write(a)
  local parts = {}
  for at = #a, 1, -1 do
    local limb = a[at]
    parts[#parts + 1] = char(floor(limb / 65536), floor(limb / 256) % 256, limb % 256)
  end
  return (concat(parts):gsub("^%z+", ""))
end

-- Below, equal or above.
function limbs.compare(a, b)
  if #a ~= #b then return #a < #b and -1 or 1 end
  for at = #a, 1, -1 do
    if a[at] ~= b[at] then return a[at] < b[at] and -1 or 1 end
  end
  return 0
end

function limbs.add(a, b)
  local sum, carry = {}, 0
  for at = 1, max(#a, #b) do
    local limb = (a[at] or 0) + (b[at] or 0) + carry
    carry = limb >= BASE and 1 or 0
    sum[at] = limb - carry * BASE
  end
  if carry > 0 then sum[#sum + 1] = 1 end
  return sum
end

-- `a` is not below `b`.
function limbs.sub(a, b)
  local rest, borrow = {}, 0
  for at = 1, #a do
    local limb = a[at] - (b[at] or 0) - borrow
    borrow = limb < 0 and 1 or 0
    rest[at] = limb + borrow * BASE
  end
  return trim(rest)
end

-- Every step stays below 2^49, which a double holds.
function limbs.mul(a, b)
  local product, long, wide = {}, #a, #b
  for at = 1, long + wide do product[at] = 0 end
  for at = 1, long do
    local limb, carry = a[at], 0
    for place = 1, wide do
      local sum = limb * b[place] + product[at + place - 1] + carry
      carry = floor(sum * PART)
      product[at + place - 1] = sum - carry * BASE
    end
    product[at + wide] = carry
  end
  return trim(product)
end

local function times(a, factor)
  local product, carry = {}, 0
  for at = 1, #a do
    local sum = a[at] * factor + carry
    carry = floor(sum * PART)
    product[at] = sum - carry * BASE
  end
  product[#a + 1] = carry
  return product
end

local function short(a, divisor)
  local quotient, rest = {}, 0
  for at = #a, 1, -1 do
    local whole = rest * BASE + a[at]
    quotient[at] = floor(whole / divisor)
    rest = whole - quotient[at] * divisor
  end
  return trim(quotient), trim { rest }
end

-- The quotient and the rest (Knuth, volume 2, 4.3.1, algorithm D); `b` is not zero.
function limbs.divide(a, b)
  local wide = #b
  if #a < wide then return {}, a end
  if wide == 1 then return short(a, b[1]) end
  local factor = floor(BASE / (b[wide] + 1))
  local u, v = times(a, factor), trim(times(b, factor))
  local top, second, quotient = v[wide], v[wide - 1], {}
  for at = #u - wide, 1, -1 do
    local whole = u[at + wide] * BASE + u[at + wide - 1]
    local guess = floor(whole / top)
    local rest = whole - guess * top
    while guess >= BASE or guess * second > rest * BASE + u[at + wide - 2] do
      guess, rest = guess - 1, rest + top
      if rest >= BASE then break end
    end
    local borrow, carry = 0, 0
    for place = 1, wide do
      local sum = guess * v[place] + carry
      carry = floor(sum * PART)
      local limb = u[at + place - 1] - (sum - carry * BASE) - borrow
      borrow = limb < 0 and 1 or 0
      u[at + place - 1] = limb + borrow * BASE
    end
    local last = u[at + wide] - carry - borrow
    u[at + wide] = last
    if last < 0 then
      -- One too many.
      guess, carry = guess - 1, 0
      for place = 1, wide do
        local sum = u[at + place - 1] + v[place] + carry
        carry = sum >= BASE and 1 or 0
        u[at + place - 1] = sum - carry * BASE
      end
      u[at + wide] = last + carry
    end
    quotient[at] = guess
  end
  return trim(quotient), (short(trim(u), factor))
end

return limbs
