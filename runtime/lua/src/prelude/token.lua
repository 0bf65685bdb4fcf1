-- What scripts hold of the host by a number, wrapped so that they can't make one up: a pointer to
-- nothing that anybody can look into. The host lets go of it when Lua has collected the wrap.
local pl = ...
local ffi = require "ffi"
local C, window = pl.C, pl.window
local tonumber, pcall, cast, gc = tonumber, pcall, ffi.cast, ffi.gc

ffi.cdef "typedef struct pl_token pl_token;"
local pointer, integer = ffi.typeof("pl_token *"), ffi.typeof("intptr_t")

local function number_of(token) return (tonumber(cast(integer, token))) end
local function forget(token) C.token_forget(window, number_of(token)) end

local token = {}

function token.new(number) return gc(cast(pointer, number), forget) end

-- The number of a token, or nil for anything else.
function token.number(value)
  if type(value) ~= "cdata" or not ffi.istype(pointer, value) then return nil end
  return number_of(value)
end

-- The same of a token under another type, as those who may use `ffi` cast it.
function token.number_at(value)
  if not pl.ffi or type(value) ~= "cdata" then return token.number(value) end
  local is_pointer, number = pcall(cast, integer, value)
  return is_pointer and tonumber(number) or nil
end

return token
