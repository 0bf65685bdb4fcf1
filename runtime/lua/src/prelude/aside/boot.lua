-- A function of a module, on a thread beside the workers (ngx.run_worker_thread): true and its
-- results, or false and why not.
local pl = ...
local world = pl.part("ngx/world")
local pcall, type = pcall, type

return function(name, key, ...)
  local ok, module = pcall(world.G.require, name)
  if not ok then return false, module end
  if type(module) ~= "table" then return false, "invalid lua module" end
  local fn = module[key]
  if type(fn) ~= "function" then return false, "invalid function" end
  return pcall(fn, ...)
end
