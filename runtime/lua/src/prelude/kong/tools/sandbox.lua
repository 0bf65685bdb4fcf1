-- kong.tools.sandbox: Lua that a configuration holds. All scripts of this gateway run in a sandbox, and
-- such code sees what they see.
local type, pcall, assert, setmetatable, error, load = type, pcall, assert, setmetatable, error, load
local _G = _G

local configuration = {
  enabled = true, sandbox_enabled = false, requires = nil, env_vars = nil,
  environment = _G, sandbox_mt = { __index = _G }, global_mt = { __index = _G },
  clear = function() end, reload = function() end,
}

-- The chunk as a function; raises when it is not Lua.
local function sandbox(chunk, name, mode, env)
  if type(name) == "table" then
    mode, env, name = mode or name.mode, env or name.env, name.chunkname or name.chunk_name
  end
  env = setmetatable(env or {}, configuration.global_mt)
  return assert(load(chunk, name, mode or "t", env))
end

local function validate_safe(...)
  local ok, why = pcall(sandbox, ...)
  if ok then return true end
  return false, "Error parsing function: " .. why
end

-- What a chunk answers must be a function.
local function validate_function(...)
  local ok, chunk = pcall(sandbox, ...)
  if not ok then return false, "Error parsing function: " .. chunk end
  local ran, fn = pcall(chunk)
  if not ran then return false, fn end
  if type(fn) == "function" then return fn end
  return false, "Bad return value from function, expected function type, got " .. type(fn)
end

local function parse(...)
  local fn, why = validate_function(...)
  if not fn then error(why, 2) end
  return fn
end

return {
  configuration = configuration,
  sandbox = sandbox,
  sandbox_lua = sandbox,
  sandbox_schema = sandbox,
  sandbox_handler = sandbox,
  validate_safe = validate_safe,
  validate_function = validate_function,
  validate = function(...)
    local fn, why = validate_function(...)
    if fn then return true end
    return false, why
  end,
  parse = parse,
}
