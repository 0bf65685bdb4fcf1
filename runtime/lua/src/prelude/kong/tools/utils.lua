-- kong.tools.utils: the other tools in one table, as older plugins expect them.
local utils = {}
for _, name in ipairs { "table", "uuid", "rand", "time", "string", "ip", "http" } do
  for key, value in pairs(require("kong.tools." .. name)) do utils[key] = value end
end
return utils
