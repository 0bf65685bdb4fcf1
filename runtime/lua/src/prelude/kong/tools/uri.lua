-- kong.tools.uri: paths in their plain form, and escaped again.
local find, sub, byte, char, format = string.find, string.sub, string.byte, string.char, string.format
local concat, tonumber, upper = table.concat, tonumber, string.upper

-- Those mean something else when they are decoded.
local reserved = {}
for place = 1, 19 do reserved[byte("!*'();:@&=+$,/?%#[]", place)] = true end

local function escape(uri)
  return (uri:gsub("[^!#$&'()*+,/:;=?@%[%]%w%-_.~%%]", function(odd)
    return (format("%%%02X", byte(odd)))
  end))
end

local function decode(hex)
  local code = tonumber(hex, 16)
  if reserved[code] then return (upper("%" .. hex)) end
  return (char(code))
end

-- `%41` is `A`, `/a/./b/../c` is `/a/c`; with `merge`, `//` is `/`.
local function normalize(uri, merge)
  if find(uri, "%", 1, true) then uri = uri:gsub("%%(%x%x)", decode) end
  if not find(uri, ".", 1, true) and not (merge and find(uri, "//", 1, true)) then return uri end
  local out, at = {}, 1
  local rooted = sub(uri, 1, 1) == "/"
  if rooted then at = 2 end
  while at <= #uri + 1 do
    local slash = find(uri, "/", at, true)
    local segment = sub(uri, at, (slash or #uri + 1) - 1)
    local last = not slash
    if segment == ".." then
      out[#out] = nil
      -- What it stands in stays a folder.
      if last then out[#out + 1] = "" end
    elseif segment == "." then
      if last then out[#out + 1] = "" end
    elseif segment ~= "" or last or not merge then
      out[#out + 1] = segment
    end
    if last then break end
    at = slash + 1
  end
  return (rooted and "/" or "") .. concat(out, "/")
end

return { escape = escape, normalize = normalize }
