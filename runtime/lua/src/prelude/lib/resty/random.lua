-- `resty.random`: all of it is strong.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text

return {
  _VERSION = "0.17",
  bytes = function(length)
    if C.random(window, length) == 0 then return nil end
    return (text(window.ptr, window.len))
  end,
}
