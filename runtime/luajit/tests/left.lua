-- Work of many kinds for left.rs: what each comes to, a line each.

local work = {}

function work.fibonacci()
  local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
  return fib(24)
end

function work.ackermann()
  local function a(m, n)
    if m == 0 then return n + 1 elseif n == 0 then return a(m - 1, 1) else return a(m - 1, a(m, n - 1)) end
  end
  return a(2, 120)
end

function work.tail_calls()
  local function f(n, s) if n == 0 then return s end return f(n - 1, (s * 31 + n) % 1000003) end
  local s = 0
  for i = 1, 10 do s = s + f(20000, i) end
  return s
end

function work.mutual_calls()
  local even, odd
  function even(n) if n == 0 then return 1 end return odd(n - 1) end
  function odd(n) if n == 0 then return 0 end return even(n - 1) end
  local s = 0
  for i = 1, 20 do s = s + even(20000 + i) end
  return s
end

function work.bodies()
  local x, v = {}, {}
  for i = 1, 5 do x[i], v[i] = { i * 1.1, i * 0.7, -i * 0.3 }, { 0.1 * i, -0.2, 0.05 * i } end
  for _ = 1, 4000 do
    for i = 1, 5 do
      for j = i + 1, 5 do
        local dx, dy, dz = x[i][1] - x[j][1], x[i][2] - x[j][2], x[i][3] - x[j][3]
        local d = dx * dx + dy * dy + dz * dz + 0.01
        local m = 0.001 / (d * math.sqrt(d))
        v[i][1], v[i][2], v[i][3] = v[i][1] - dx * m, v[i][2] - dy * m, v[i][3] - dz * m
        v[j][1], v[j][2], v[j][3] = v[j][1] + dx * m, v[j][2] + dy * m, v[j][3] + dz * m
      end
    end
    for i = 1, 5 do for k = 1, 3 do x[i][k] = x[i][k] + 0.01 * v[i][k] end end
  end
  local s = 0
  for i = 1, 5 do s = s + x[i][1] * x[i][2] + x[i][3] end
  return ("%.14g"):format(s)
end

function work.queens()
  local size, found, at = 7, 0, {}
  local function free(n, column)
    for i = 1, n - 1 do
      if at[i] == column or at[i] - i == column - n or at[i] + i == column + n then return false end
    end
    return true
  end
  local function add(n)
    if n > size then found = found + 1 return end
    for column = 1, size do if free(n, column) then at[n] = column add(n + 1) end end
  end
  add(1)
  return found
end

function work.trees()
  local function grow(d) if d == 0 then return {} end return { grow(d - 1), grow(d - 1) } end
  local function count(t) if t[1] then return 1 + count(t[1]) + count(t[2]) end return 1 end
  local s = 0
  for _ = 1, 20 do s = s + count(grow(9)) end
  return s
end

function work.mandelbrot()
  local s = 0
  for y = 0, 59 do
    for x = 0, 59 do
      local ci, cr, zr, zi, n = 2 * y / 60 - 1, 2 * x / 60 - 1.5, 0, 0, 0
      while n < 100 and zr * zr + zi * zi < 4 do zr, zi, n = zr * zr - zi * zi + cr, 2 * zr * zi + ci, n + 1 end
      s = s + n
    end
  end
  return s
end

function work.texts()
  local t, s = {}, 0
  for i = 1, 8000 do
    t[#t + 1] = ("%d:%s"):format(i, ("x"):rep(i % 7))
    if #t > 500 then t = { table.concat(t, ","):sub(-50) } end
    s = (s + t[#t]:upper():reverse():byte(-1) + (t[#t]:find("1", 1, true) or 0)) % 1000003
  end
  for word in table.concat(t):gmatch("%d+") do s = s + tonumber(word) end
  return s
end

function work.keys()
  local t, s, n = {}, 0, 0
  for i = 1, 20000 do local k = "k" .. i % 997 t[k] = (t[k] or 0) + i end
  for k, v in pairs(t) do s = s + v * #k end
  for _ = 1, 40 do for k, v in pairs(t) do if v % 3 == 0 then n = n + 1 elseif k == "k5" then n = n + 7 end end end
  for _ = 1, 30 do for i = 1, 1200 do if t["k" .. i] == nil then n = n + 1 end end end
  return s .. ":" .. n
end

function work.objects()
  local Base, V = {}, {}
  Base.__index = Base
  function Base:add(n) self.v = (self.v + n) % 10007 return self end
  local Derived = setmetatable({}, { __index = Base })
  Derived.__index = Derived
  local o = setmetatable({ v = 1 }, Derived)
  for i = 1, 60000 do o:add(i) end
  V.__add = function(a, b) return setmetatable({ x = a.x + b.x }, V) end
  V.__lt = function(a, b) return a.x < b.x end
  local a, one, n = setmetatable({ x = 0 }, V), setmetatable({ x = 1 }, V), 0
  for _ = 1, 30000 do a = a + one if one < a then n = n + 1 end end
  return o.v .. ":" .. a.x .. ":" .. n
end

function work.not_a_number()
  local x, n, y, z = 0 / 0, 0, 0, 0
  while not (y >= 30000) do y = y + 1 n = n + ((x < y) and 1 or 0) + ((x ~= x) and 2 or 0) end
  repeat z = z + 0.5 until not (z < 15000)
  return n .. ":" .. z
end

function work.coroutines()
  local function count(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end) end
  local s = 0
  for _ = 1, 20 do for v in count(1000) do s = s + v end end
  return s
end

function work.arguments()
  local function sum(...) local s = 0 for i = 1, select("#", ...) do s = s + (select(i, ...)) end return s end
  local function three(i) return i, i + 1, i + 2 end
  local s = 0
  for i = 1, 30000 do local a, b, c = three(i) s = (s + a * b - c + sum(c, i % 5, a)) % 1000003 end
  return s
end

function work.cdata()
  local ffi, bit = require("ffi"), require("bit")
  local a, h, x = ffi.new("uint64_t[?]", 256), 0ULL, 1
  for i = 0, 255 do a[i] = i * 2654435761ULL end
  for r = 1, 150 do for i = 0, 255 do h = bit.bxor(h, a[i]) * 1099511628211ULL + r end end
  local s = ffi.new("struct { double x; int n; uint8_t b[4]; }")
  for i = 1, 40000 do s.x, s.n, s.b[i % 4] = s.x + i * 0.5, s.n + i % 7, s.b[i % 4] + 1 end
  for i = 1, 300000 do x = bit.bxor(bit.lshift(x, 5), bit.rshift(x, 3), i) end
  return tostring(h) .. ":" .. s.x .. ":" .. s.n .. ":" .. s.b[1] .. ":" .. x
end

function work.sorting()
  local t, r, s = {}, 42, 0
  for i = 1, 4000 do r = (r * 1103515245 + 12345) % 2147483648 t[i] = r end
  table.sort(t)
  table.sort(t, function(a, b) return a % 1000 < b % 1000 or (a % 1000 == b % 1000 and a < b) end)
  for i = 1, #t do s = (s * 31 + t[i]) % 1000000007 end
  return s
end

function work.sieve()
  local n
  for _ = 1, 5 do
    local composite = {}
    n = 0
    for i = 2, 8192 do
      if not composite[i] then n = n + 1 for k = i + i, 8192, i do composite[k] = true end end
    end
  end
  return n
end

function work.branches()
  local s, n = 1, { 0, 0, 0, 0 }
  for _ = 1, 300000 do
    s = s * 16807 % 2147483647
    if s % 2 == 0 then
      n[1] = n[1] + 1
      if s % 3 == 0 then n[2] = n[2] + 1 end
    elseif s % 5 == 0 then
      n[3] = n[3] + 1
    else
      n[4] = n[4] + 1
    end
  end
  return table.concat(n, ",")
end

function work.errors()
  local n = 0
  for i = 1, 20000 do
    local ok, e = pcall(function(x) if x % 17 == 0 then error("x", 0) end return x end, i)
    if ok then n = n + e % 3 else n = n + 1000 end
  end
  return n
end

function work.gotos()
  local i, s = 0, 0
  ::top::
  i = i + 1
  if i % 3 == 0 then goto top end
  s = s + i
  if i < 300000 then goto top end
  return s
end

function work.overflows()
  local s, n = 2147483000, 0
  for _ = 1, 200000 do s = s + 1 if s > 2147490000 then s, n = 2147483000, n + 1 end end
  return s .. ":" .. n
end

function work.tables_that_are_none()
  local function point(x, y) return { x = x, y = y } end
  local a, n = point(0, 0), 0
  local function inc() n = n + 1 end
  for i = 1, 200000 do local b = point(a.x + 1, a.y + i % 3) a = point(b.x, b.y) inc() inc() end
  return a.x .. ":" .. a.y .. ":" .. n
end

function work.nesting()
  local function put(t, n) if n == 0 then return t end return put({ t }, n - 1) end
  local function depth(t) if t[1] then return 1 + depth(t[1]) end return 0 end
  local s = 0
  for _ = 1, 40 do s = s + depth(put({}, 100)) end
  return s
end

local names, said = {}, {}
for name in pairs(work) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do said[#said + 1] = name .. " " .. work[name]() end
return table.concat(said, "\n")
