-- `resty.openssl.rand`.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local type = type

return {
  bytes = function(length, _, strength)
    if type(length) ~= "number" then return nil, "rand.bytes: expect a number at #1" end
    if strength and type(strength) ~= "number" then
      return nil, "rand.bytes: expect a number at #3"
    end
    if C.random(window, length) == 0 then return nil, "rand.bytes: out of range" end
    return (text(window.ptr, window.len))
  end,
}
