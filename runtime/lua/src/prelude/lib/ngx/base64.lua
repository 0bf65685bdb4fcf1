-- `ngx.base64`: base64 in the alphabet for URLs, without padding.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local type = type

-- As READERS in calls/encode.rs.
local URL = 2

local base64 = { version = "0.1.33" }

function base64.encode_base64url(s)
  if type(s) ~= "string" then return nil, "must provide a string" end
  C.base64_write(window, s, #s, 1, 0)
  return (text(window.ptr, window.len))
end

function base64.decode_base64url(s)
  if type(s) ~= "string" then return nil, "must provide a string" end
  if C.base64_read(window, s, #s, URL) == 0 then return nil, "invalid input" end
  return (text(window.ptr, window.len))
end

return base64
