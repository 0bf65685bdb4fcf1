-- tablepool: tables to be used again. LuaJIT makes new ones as fast.
local clear = require "table.clear"
local new_table = require "table.new"

return {
  fetch = function(_, list, hash) return new_table(list or 0, hash or 0) end,
  release = function(_, t, kept)
    if t == nil then error("object empty", 2) end
    if not kept then clear(t) end
  end,
}
