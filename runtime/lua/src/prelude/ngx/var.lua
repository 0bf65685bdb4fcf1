-- ngx.var: the variables that routes declare, and those that nginx has of itself.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local type, error, setmetatable, stock_tostring = type, error, setmetatable, tostring

return function(ngx, world)
  local state, PHASES = world.state, world.REQUEST

  -- Values by name, for each route; a variable that one declares all have.
  local declared, defaults = {}, {}
  function world.declare(routes)
    for route, vars in pairs(routes) do
      defaults[route] = vars
      for name in pairs(vars) do declared[name] = true end
    end
  end

  local function vars_of(at)
    local vars = at.vars
    if vars then return vars end
    vars = {}
    at.vars = vars
    local given = defaults[world.field("route")]
    if given then
      for name, value in pairs(given) do vars[name] = value end
    end
    return vars
  end
  world.vars_of = vars_of

  local function request(level)
    local at = state()
    if not PHASES[at.phase] then
      if at.phase == "init" then error("no request found", level) end
      error("API disabled in the current context", level)
    end
    return at
  end

  local function get(_, name)
    local at = request(3)
    local kind = type(name)
    if kind == "number" then
      local captures = at.captures
      if captures then return captures[name] end
      if C.capture(window, name) == 0 then return nil end
      return text(window.ptr, window.len)
    end
    if kind ~= "string" then error("bad variable name", 2) end
    if declared[name] then return vars_of(at)[name] or "" end
    if C.var(window, name, #name) == 0 then
      local lower = name:lower()
      local own = world.variables[lower]
      if own then return own() end
      if lower == name then return nil end
      if declared[lower] then return vars_of(at)[lower] or "" end
      if C.var(window, lower, #lower) == 0 then return nil end
    end
    return text(window.ptr, window.len)
  end

  -- Those of nginx that scripts may change.
  local setters = {
    args = function(value)
      if value == nil or value == "" then return C.query_clear(window) end
      ngx.req.set_uri_args(value)
    end,
    limit_rate = function() end,
  }
  setters.query_string = setters.args

  -- A dialect's own: how they are read, and written.
  world.variables, world.setters = {}, setters

  local function set(_, name, value)
    local at = request(3)
    if type(name) ~= "string" then error("bad variable name", 2) end
    local kind = type(value)
    if kind == "number" or kind == "boolean" then
      value = stock_tostring(value)
    elseif kind ~= "string" and kind ~= "nil" then
      error("bad variable value type: " .. kind, 2)
    end
    if declared[name] then
      vars_of(at)[name] = value or nil
      return
    end
    local setter = setters[name]
    if setter then return setter(value) end
    if C.var(window, name, #name) ~= 0 or world.automatic(name) then
      error("variable \"" .. name .. "\" not changeable", 2)
    end
    error("variable \"" .. name .. "\" not found for writing; maybe it is a built-in variable that is not changeable or you forgot to use \"set $"
      .. name .. " '';\" in the config file to define it first", 2)
  end

  function world.automatic(name)
    return C.var_known(window, name, #name) ~= 0
  end

  ngx.var = setmetatable({}, { __index = get, __newindex = set })

  -- A text with `$name` and `${name}` put in.
  function world.interpolate(template)
    return (template:gsub("%$(%b{})", function(braced)
      return ngx.var[braced:sub(2, -2)] or ""
    end):gsub("%$([%a_][%w_]*)", function(name) return ngx.var[name] or "" end)
      :gsub("%$(%d)", function(number) return ngx.var[tonumber(number)] or "" end))
  end

  ngx.config = {
    subsystem = "http", debug = false, nginx_version = 1029002, ngx_lua_version = 10030,
    prefix = function() return world.prefix end,
    nginx_configure = function() return "" end,
    is_console = false,
  }

  -- ndk.set_var: filters of variables, as other modules of nginx offer them.
  local directives = {
    set_escape_uri = function(value) return ngx.escape_uri(value) end,
    set_unescape_uri = function(value) return ngx.unescape_uri(value) end,
    set_encode_base64 = function(value) return ngx.encode_base64(value) end,
    set_decode_base64 = function(value) return ngx.decode_base64(value) end,
    set_md5 = function(value) return ngx.md5(value) end,
    set_quote_sql_str = function(value) return ngx.quote_sql_str(value) end,
    set_quote_json_str = function(value) return pl.slow.json_encode(value) end,
    set_encode_hex = function(value)
      return (value:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
    end,
    set_decode_hex = function(value)
      return (value:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
    end,
  }
  world.ndk = {
    set_var = setmetatable({}, {
      __index = function(_, name)
        local directive = directives[name]
        if not directive then
          error("attempt to call ndk.set_var DIRECTIVE that does not exist: " .. stock_tostring(name), 2)
        end
        return function(value) return directive(stock_tostring(value)) end
      end,
      __newindex = function() error("not allowed", 2) end,
    }),
  }
end
