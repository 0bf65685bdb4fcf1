-- The same work in Lua and in a Wasm module: the path says what, the answer is what came of it. Before it
-- serves, both must agree.
local scan = require "scan"
local heavy = gateway.wasm "heavy"
local quick = gateway.wasm "quick" -- the same with a limit by which its calls run inline
local byte, char, find, sub, lower = string.byte, string.char, string.find, string.sub, string.lower
local concat, floor = table.concat, math.floor

-- What tests/bench/src/up.c serves.
local unit = [[{"id":12345,"name":"al\"pha beta","tags":["x","yy","zzz"],"ok":true,"v":3.14159},]] .. "\n"
local BODY = unit:rep(65536 / #unit + 1):sub(1, 65536)
local points = {}
for i = 1, 65536 do points[i] = char((i * 7 + floor(i / 1024) * 13) % 256) end
local POINTS, WIDTH = concat(points), 256
local KIB = ("k"):rep(1024)
local CALLS = 1000

local function text_end(s, at)
  while true do
    local stop = find(s, '["\\]', at)
    if not stop then return #s end
    if byte(s, stop) == 34 then return stop end
    at = stop + 2
  end
end

-- Where a value that begins at `at` ends.
local function value_end(s, at)
  local first = byte(s, at)
  if first == 34 then return text_end(s, at + 1) end
  if first ~= 123 and first ~= 91 then return (find(s, "[,%]}%s]", at) or #s + 1) - 1 end
  local depth = 0
  while true do
    at = find(s, '[{%[}%]"]', at)
    if not at then return #s end
    local c = byte(s, at)
    if c == 34 then at = text_end(s, at + 1)
    elseif c == 123 or c == 91 then depth = depth + 1
    else
      depth = depth - 1
      if depth == 0 then return at end
    end
    at = at + 1
  end
end

local fields = { name = true }
local function redact(s)
  local out, n, from, at = {}, 0, 1, 1
  while true do
    local open = find(s, '"', at, true)
    if not open then break end
    local stop = text_end(s, open + 1)
    local _, colon = find(s, "^%s*:%s*", stop + 1)
    local text = sub(s, open + 1, stop - 1)
    if colon and fields[lower(text)] then
      out[n + 1], out[n + 2], n = sub(s, from, colon), '"***"', n + 2
      at = value_end(s, colon + 1) + 1
      from = at
    else
      if find(text, "@", 1, true) then
        out[n + 1], n = sub(s, from, open), n + 1
        out[n + 1], n = text:gsub("[%w.!#$%%&'*+/=?^_`{|}~-]+@[%w-][%w.-]*%.[%w-]+", "***"), n + 1
        from = stop
      end
      at = stop + 1
    end
  end
  out[n + 1] = sub(s, from)
  return concat(out)
end

local function quarter(s, width)
  local row, out, n = width * 4, {}, 0
  for top = 0, #s - row * 4, row * 4 do
    for left = 0, row - 16, 16 do
      for channel = 1, 4 do
        local sum = 0
        for line = 0, 3 do
          local at = top + line * row + left + channel
          sum = sum + byte(s, at) + byte(s, at + 4) + byte(s, at + 8) + byte(s, at + 12)
        end
        n = n + 1
        out[n] = char(floor(sum / 16))
      end
    end
  end
  return concat(out)
end

-- Loops of their own: one that calls many kinds of functions would compile as none of them.
local function calls_none()
  local sum = 0
  for i = 1, CALLS do sum = sum + i end
  return tostring(sum)
end

local function calls_add()
  local add, sum = heavy.add, 0
  for i = 1, CALLS do sum = add(sum, i) end
  return tostring(sum)
end

local function calls_echo()
  local echo, text = heavy.echo, KIB
  for _ = 1, CALLS do text = echo(text) end
  return text
end

local function inline_add()
  local add, sum = quick.add, 0
  for i = 1, CALLS do sum = add(sum, i) end
  return tostring(sum)
end

local function inline_echo()
  local echo, text = quick.echo, KIB
  for _ = 1, CALLS do text = echo(text) end
  return text
end

local work = {
  none = function() return "" end,
  ["lua-sha"] = function() return scan.sha(BODY) end,
  ["wasm-sha"] = function() return heavy.sha(BODY) end,
  ["lua-redact"] = function() return redact(BODY) end,
  ["wasm-redact"] = function() return heavy.redact(BODY) end,
  ["lua-resize"] = function() return quarter(POINTS, WIDTH) end,
  ["wasm-resize"] = function() return heavy.quarter(POINTS, WIDTH) end,
  ["calls-none"] = calls_none,
  ["calls-add"] = calls_add,
  ["calls-echo"] = calls_echo,
  ["inline-add"] = inline_add,
  ["inline-echo"] = inline_echo,
}

local checked = false
local function check()
  for _, name in ipairs { "sha", "redact", "resize" } do
    local lua, wasm = work["lua-" .. name](), work["wasm-" .. name]()
    assert(lua == wasm, name .. " differs")
  end
  assert(calls_add() == calls_none() and calls_echo() == KIB, "calls go wrong")
  assert(inline_add() == calls_none() and inline_echo() == KIB, "inline calls go wrong")
  checked = true
end

return function(req)
  if not checked then check() end
  local made = work[req.path:match("^/heavy/([%w-]+)")]()
  return { status = 200, body = tostring(#made) }
end
