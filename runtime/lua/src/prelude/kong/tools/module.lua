-- kong.tools.module
local error, pcall, require, type = error, pcall, require, type

local function load_module_if_exists(name)
  local ok, module = pcall(require, name)
  if ok then return true, module end
  if type(module) == "string" and module:find("module '" .. name .. "' not found", 1, true) then
    return false, module
  end
  error("error loading module '" .. name .. "':\n" .. tostring(module), 0)
end

return { load_module_if_exists = load_module_if_exists }
