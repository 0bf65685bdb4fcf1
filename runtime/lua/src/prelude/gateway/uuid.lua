-- gateway.uuid: random ones, and such that sort by their time (RFC 9562).
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local byte, format, floor = string.byte, string.format, math.floor
local band, bor = bit.band, bit.bor

local PATTERN = "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x"

local function random(length)
  C.random(window, length)
  return (text(window.ptr, window.len))
end

-- The two bits of the variant.
local function variant(b) return (bor(band(b, 0x3f), 0x80)) end

local uuid = {}

function uuid.v4()
  local a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p = byte(random(16), 1, 16)
  return (format(PATTERN, a, b, c, d, e, f, bor(band(g, 0x0f), 0x40), h, variant(i), j, k, l, m, n,
    o, p))
end

function uuid.v7()
  local g, h, i, j, k, l, m, n, o, p = byte(random(10), 1, 10)
  local millis = floor(pl.now() * 1000)
  local function part(shift) return floor(millis / 2 ^ shift) % 256 end
  return (format(PATTERN, part(40), part(32), part(24), part(16), part(8), part(0),
    bor(band(g, 0x0f), 0x70), h, variant(i), j, k, l, m, n, o, p))
end

return uuid
