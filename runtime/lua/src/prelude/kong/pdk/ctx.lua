-- kong.ctx: tables of the exchange: `plugin` of the plugin that runs, `shared` of all.
local _, dialect = ...
local setmetatable = setmetatable

local SHARED, CORE = {}, {}
local keys = { shared = SHARED, core = CORE }

return setmetatable({}, {
  __index = function(_, name)
    local ctx = dialect.ctx()
    if not ctx then return nil end
    -- A plugin's table is under the plugin itself, so each instance has its own.
    local key = keys[name] or name == "plugin" and ctx.KONG_PLUGIN
    if not key then return nil end
    local own = ctx[key]
    if not own then
      own = {}
      ctx[key] = own
    end
    return own
  end,
})
