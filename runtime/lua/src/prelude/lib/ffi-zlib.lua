-- `ffi-zlib` (lua-ffi-zlib): texts are compressed and unpacked whole, then handed on in pieces.
local pl = ...
local C, slow = pl.C, pl.slow
local concat, sub = table.concat, string.sub

-- zlib's bits of a window: 32 more tell the wrapping by its first bytes, 16 more mean gzip.
local INFLATE, DEFLATE, CHUNK = 15 + 32, 15 + 16, 16384

local function read(input, size)
  local parts, bytes = {}, 0
  while true do
    local part = input(size)
    if part == nil or part == "" then return (concat(parts)) end
    bytes = bytes + #part
    if bytes > pl.body_max then return nil, "too large" end
    parts[#parts + 1] = part
  end
end

local function write(output, s, size)
  for from = 1, #s, size do
    local ok, why = output(sub(s, from, from + size - 1))
    if not ok then return nil, why end
  end
  return true
end

local function through(name, make, input, output, size)
  size = size or CHUNK
  local given, why = read(input, size)
  local made, ok
  if given then made, why = make(given) end
  if made then ok, why = write(output, made, size) end
  if not ok then return false, name .. ": " .. (why or "unknown error") end
  return true, "stream end"
end

local zlib = {}

function zlib.inflateGzip(input, output, size, bits)
  return through("INFLATE", function(s) return slow.inflate(s, bits or INFLATE) end, input,
    output, size)
end

function zlib.deflateGzip(input, output, size, options)
  local bits, level = options and options.windowBits, options and options.level
  return through("DEFLATE", function(s) return slow.deflate(s, bits or DEFLATE, level) end, input,
    output, size)
end

function zlib.crc(s, sum) return (C.crc32(sum or 0, s or "", s and #s or 0)) end
function zlib.adler(s, sum) return (C.adler32(sum or 0, s or "", s and #s or 0)) end
function zlib.version() return "1.3.1" end

return zlib
