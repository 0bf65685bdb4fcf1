-- kong.tools.request_aware_table: a table with a `clear` of its own.
local clear = require "table.clear"
local new_table = require "table.new"

local Direct = { __index = { clear = function(t) clear(t) end } }
function Direct.__newindex(t, key, value)
  if key == "clear" then error("cannot set the 'clear' method of request aware table", 2) end
  rawset(t, key, value)
end

return { new = function(list, hash) return (setmetatable(new_table(list or 0, hash or 0), Direct)) end }
