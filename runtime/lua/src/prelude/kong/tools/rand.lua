-- kong.tools.rand
local _, dialect = ...
local byte, char = string.byte, string.char

local rand = { get_rand_bytes = dialect.random }

-- 32 letters and digits.
function rand.random_string()
  local text = ngx.encode_base64(rand.get_rand_bytes(24), true)
  return (text:gsub("[/+]", function(odd)
    local letter = byte(rand.get_rand_bytes(1)) % 26
    return (char((odd == "/" and 65 or 97) + letter))
  end))
end

return rand
