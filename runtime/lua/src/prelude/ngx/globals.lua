-- The globals of the world's scripts: those of a native script, and what old code expects.
local pl = ...
local type, error, setmetatable, rawget, select = type, error, setmetatable, rawget, select
local rawset, tostring = rawset, tostring
local stock_getfenv, stock_setfenv, getinfo = getfenv, setfenv, debug.getinfo
local host = stock_getfenv(0)

return function(world)
  local G = pl.environment(nil, "openresty")
  local loaded = G.package.loaded
  G.gateway = nil
  loaded.gateway = nil
  G.ngx, loaded.ngx = world.ngx, world.ngx
  G.ndk, loaded.ndk = world.ndk, world.ndk
  G.coroutine, loaded.coroutine = world.coroutine, world.coroutine
  G.print = world.print

  for name, make in pairs(world.preload) do
    G.package.preload[name] = type(make) == "function" and make or function() return make end
  end

  -- Environments: a script sees and changes those of scripts only.
  local function function_of(what, name)
    if type(what) == "function" then return what end
    if type(what) ~= "number" or what < 0 then
      error("bad argument #1 to '" .. name .. "' (invalid level)", 3)
    end
    if what == 0 then return nil end
    local info = getinfo(what + 2, "f")
    if not info then error("bad argument #1 to '" .. name .. "' (invalid level)", 3) end
    return info.func
  end

  function G.getfenv(what)
    local fn = function_of(what == nil and 1 or what, "getfenv")
    local env = fn and stock_getfenv(fn)
    if env == nil or env == host then return G end
    return env
  end

  function G.setfenv(what, env)
    if type(env) ~= "table" then
      error("bad argument #2 to 'setfenv' (table expected, got " .. type(env) .. ")", 2)
    end
    local fn = function_of(what, "setfenv")
    if not fn or stock_getfenv(fn) == host then
      error("'setfenv' cannot change environment of given object", 2)
    end
    stock_setfenv(fn, env)
    return fn
  end

  function G.package.seeall(module)
    if type(module) ~= "table" then
      error("bad argument #1 to 'seeall' (table expected, got " .. type(module) .. ")", 2)
    end
    local meta = getmetatable(module) or {}
    meta.__index = G
    setmetatable(module, meta)
  end

  -- Lua 5.1's `module`: its caller's globals become the module's fields.
  function G.module(name, ...)
    local module = loaded[name]
    if type(module) ~= "table" then
      module = {}
      loaded[name] = module
      local at, parts = G, {}
      for part in name:gmatch("[^.]+") do parts[#parts + 1] = part end
      for index = 1, #parts - 1 do
        local next_at = rawget(at, parts[index])
        if type(next_at) ~= "table" then
          next_at = {}
          at[parts[index]] = next_at
        end
        at = next_at
      end
      at[parts[#parts]] = module
    end
    if module._NAME == nil then
      module._M, module._NAME = module, name
      module._PACKAGE = name:match("^(.*%.)[^.]*$") or ""
    end
    local caller = getinfo(2, "f").func
    stock_setfenv(caller, module)
    for index = 1, select("#", ...) do select(index, ...)(module) end
  end

  -- What can be said of a function without handing it out.
  function G.debug.getinfo(what, fields)
    if type(what) == "number" then what = what + 1 end
    local info = getinfo(what, (type(fields) == "string" and fields or "nSlu"):gsub("[fL>]", ""))
    return info
  end

  -- As in OpenResty these are there from the start.
  loaded["resty.core"] = world.preload["resty.core"]()
  G.package.path = table.concat(world.plan.path, ";")

  -- A global that a request's script writes is all requests': OpenResty warns of that, too.
  setmetatable(G, {
    __newindex = function(t, name, value)
      rawset(t, name, value)
      local phase = world.phase()
      if phase == "init" or phase == "init_worker" then return end
      world.write_log(world.ngx.WARN, "[lua] _G write guard:12: __newindex(): writing a global Lua variable ('"
        .. tostring(name) .. "') which may lead to race conditions between concurrent requests, "
        .. "so prefer the use of 'local' variables" .. world.traceback("", 2))
    end,
  })

  G.jit.on, G.jit.off, G.jit.flush = function() end, function() end, function() end
  G.jit.status = function() return true end

  return G
end
