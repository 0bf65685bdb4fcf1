-- kong.tools.gzip: texts, whole.
local zlib = require "ffi-zlib"
local buffer = require "string.buffer"

local PIECE = 65535

local function through(work)
  return function(text)
    local given, made = buffer.new():put(text), buffer.new()
    local ok, why = work(function(size) return given:get(size) end, function(piece)
      return made:put(piece)
    end, PIECE)
    if not ok then return nil, why end
    return made:get()
  end
end

return { deflate_gzip = through(zlib.deflateGzip), inflate_gzip = through(zlib.inflateGzip) }
