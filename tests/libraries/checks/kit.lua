-- What checks are written with.
local peers = require "peers"

local kit = { peers = peers }

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

local function show(value)
  if type(value) ~= "table" then
    return type(value) == "string" and string.format("%q", value) or tostring(value)
  end
  local parts = {}
  for key, inner in pairs(value) do parts[#parts + 1] = tostring(key) .. "=" .. show(inner) end
  return "{" .. table.concat(parts, ", ") .. "}"
end
kit.show = show

-- Compares deeply; what was got is returned.
function kit.equal(got, want, what)
  if not same(got, want) then
    error((what or "got") .. ": " .. show(got) .. " instead of " .. show(want), 2)
  end
  return got
end

-- A call's results: none, and this message (or one that has this pattern, after "~").
function kit.fails(want, got, message)
  local found = want:sub(1, 1) == "~" and tostring(message):find(want:sub(2)) or message == want
  if got or not found then
    error("not refused as it should be: " .. show(got) .. ", " .. show(message) .. " instead of " .. want, 2)
  end
end

-- A module of a library, by what stands behind "resty.".
function kit.lib(library, module)
  local before = peers.place[library] or "resty."
  return require(before .. (module or library))
end

-- Has the process that runs the checks do something.
function kit.ask(line)
  local control = ngx.socket.tcp()
  control:settimeout(60000)
  assert(control:connect("127.0.0.1", peers.control.port))
  assert(control:send(line .. "\n"))
  local answer = assert(control:receive())
  control:close()
  if answer:find("^failed") then error(answer, 2) end
  return answer
end

-- The port of a relay that passes on so many bytes of a server's and then ends like this: close,
-- reset or stall.
function kit.relay(port, ending, count)
  return tonumber(kit.ask("relay " .. port .. " " .. ending .. " " .. count))
end

-- Waits for a condition.
function kit.till(what, condition)
  local till = ngx.now() + 10
  repeat
    local found = condition()
    if found then return found end
    ngx.sleep(0.02)
    ngx.update_time()
  until ngx.now() > till
  error("in vain: " .. what, 2)
end

return kit
