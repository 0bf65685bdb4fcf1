-- `string.buffer` without what reaches into memory (`reserve`, `commit`, `ref`) or makes values of
-- bytes (`decode`): scripts without `ffi` must not have either.
local pl = ...
local buffer = require "string.buffer"

if pl.ffi then return buffer end

-- The methods are one table for all buffers of the VM.
local methods = debug.getmetatable(buffer.new()).__index
methods.reserve, methods.commit, methods.ref, methods.encode, methods.decode = nil

return { new = function(size)
  if size ~= nil and (type(size) ~= "number" or size > pl.string_max) then size = nil end
  return buffer.new(size)
end }
