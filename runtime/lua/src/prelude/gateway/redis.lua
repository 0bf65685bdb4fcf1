-- gateway.redis(name): commands to a Redis server of the manifest.
local pl = ...
local slow, WAIT, TAKE, yield = pl.slow, pl.WAIT, pl.TAKE, pl.yield
local type, error, setmetatable = type, error, setmetatable

-- A list of commands, sent together.
local Pipeline = {
  __metatable = "redis pipeline",
}
Pipeline.__index = Pipeline

function Pipeline.cmd(commands, ...)
  commands[#commands + 1] = { ... }
  return commands
end

-- A server: { index }.
local Server = {
  __metatable = "redis",
  __newindex = function() error("a Redis server's values are set by :cmd(\"SET\", ...)", 2) end,
}
Server.__index = Server

local function waited(ok, why)
  if not ok then return nil, why end
  return yield(WAIT, TAKE)
end

-- The reply; nil and a message when there is none, or the server refuses.
function Server.cmd(server, ...) return waited(slow.redis_call(server[1], ...)) end

-- The replies of what `fn` puts into its argument by :cmd(), in order; { err = message } where the
-- server refused one.
function Server.pipeline(server, fn)
  if type(fn) ~= "function" then
    error("pipeline takes a function, not a " .. type(fn), 2)
  end
  local commands = setmetatable({}, Pipeline)
  fn(commands)
  if #commands == 0 then return {} end
  return waited(slow.redis_pipeline(server[1], commands))
end

-- One filter's `gateway.redis`.
return function()
  local servers = {}
  return function(name)
    local known = servers[name]
    if known then return known end
    if type(name) ~= "string" then error("a server's name must be a string", 2) end
    local index, why = slow.redis_find(name)
    if not index then error(why, 2) end
    known = setmetatable({ index }, Server)
    servers[name] = known
    return known
  end
end
