-- `resty.string`.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local find, tonumber = string.find, tonumber

local module = { _VERSION = "0.17" }

function module.to_hex(s)
  C.hex_encode(window, s, #s)
  return (text(window.ptr, window.len))
end

-- Digits only; -1 for everything else.
function module.atoi(s)
  if not find(s, "^%d+$") then return -1 end
  return (tonumber(s))
end

return module
