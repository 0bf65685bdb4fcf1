-- ngx.var: the variables that routes declare, and those that nginx has of itself.
local pl = ...
local C, window, text = pl.C, pl.window, pl.text
local var_fast, var_at = C.var, C.var_at
local current = pl.current
local type, error, setmetatable, stock_tostring = type, error, setmetatable, tostring

return function(ngx, world)
  local state, PHASES = world.state, world.REQUEST

  -- Values by name (in lower case, as nginx has them), for each route; a variable that one declares
  -- all have.
  local declared, defaults = {}, {}
  function world.declare(routes)
    for route, vars in pairs(routes) do
      local lower = defaults[route] or {}
      defaults[route] = lower
      for name, value in pairs(vars) do
        name = name:lower()
        declared[name], lower[name] = true, value
      end
    end
  end

  -- The values that the route at hand begins with.
  local function begin(vars)
    local given = defaults[world.field("route")]
    if given then
      for name, value in pairs(given) do vars[name] = value end
    end
    return vars
  end

  local function vars_of(at)
    local vars = at.vars
    if vars then return vars end
    vars = begin {}
    at.vars = vars
    return vars
  end
  world.vars_of = vars_of

  -- On another route, or with another exchange's variables: what this route sets is set; what it only
  -- declares stays.
  function world.begin_vars(at)
    local vars = vars_of(at)
    local given = defaults[world.field("route")]
    if not given then return end
    for name, value in pairs(given) do
      if value ~= "" or vars[name] == nil then vars[name] = value end
    end
  end

  -- The number of what nginx has of itself; families are asked for by name.
  local numbers = pl.variables
  local function built_in(name)
    local number = numbers[name]
    if number then return var_at(window, number) ~= 0 end
    return var_fast(window, name, #name) ~= 0
  end

  -- What a script has set to nil.
  local NIL = {}
  local function value_of(at, name)
    local value = vars_of(at)[name]
    if value == NIL then return nil end
    return value or ""
  end

  -- Refuses a name that can't be set for a subrequest.
  function world.assignable(name, level)
    if type(name) ~= "string" then return end
    if declared[name:lower()] then return end
    if C.var_known(window, name, #name) ~= 0 then
      error("variable \"" .. name .. "\" not changeable", level + 1)
    end
    error("variable \"" .. name .. "\" cannot be assigned a value (maybe you forgot to define it first?)",
      level + 1)
  end

  local function request(level)
    if window.allowed ~= 0 then return current[1] end
    local at = state()
    if not PHASES[at.phase] then
      if at.phase == "init" then error("no request found", level) end
      error("API disabled in the current context", level)
    end
    if at == current[1] then window.allowed = 1 end
    return at
  end

  -- An argument, or all of them, as a script wrote them: none when the query is another by now.
  local function written(at, name)
    local query, raw = at.raw_query[1], at.raw_query[2]
    if world.field("query") ~= query then return nil end
    if name == "args" or name == "query_string" then return raw end
    local wanted = name:sub(1, 4) == "arg_" and name:sub(5):lower()
    if not wanted then return nil end
    for key, value in raw:gmatch("([^&=]*)=?([^&]*)") do
      if key:lower() == wanted then return value end
    end
    return nil
  end

  local function get(_, name)
    local at = request(3)
    local kind = type(name)
    if kind == "number" then
      local captures = at.captures
      if captures then return captures[name] end
      if C.capture(window, name) == 0 then return nil end
      return (text(window.ptr, window.len))
    end
    if kind ~= "string" then error("bad variable name", 2) end
    if declared[name] then return value_of(at, name) end
    if at.marked then
      if at.no_host and name == "http_host" then return nil end
      local raw = at.raw_query and written(at, name)
      if raw then return raw end
      if at.body_file then
        if name == "request_body" then return nil end
        if name == "request_body_file" then return at.body_file end
      end
    end
    if not built_in(name) then
      local lower = name:lower()
      local own = world.variables[lower]
      if own then return own() end
      if lower == name then return nil end
      if declared[lower] then return value_of(at, lower) end
      if not built_in(lower) then return nil end
    end
    return (text(window.ptr, window.len))
  end

  -- Those of nginx that scripts may change.
  local setters = {
    args = function(value)
      if value == nil or value == "" then return (C.query_clear(window)) end
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
    local lower = declared[name] and name or name:lower()
    if declared[lower] then
      vars_of(at)[lower] = value or NIL
      return
    end
    local setter = setters[name]
    if setter then return setter(value) end
    if world.automatic(name) then
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
    -- Scripts look here for what there is.
    nginx_configure = function()
      return " --with-http_ssl_module --with-http_v2_module --with-http_v3_module"
        .. " --with-http_realip_module --with-threads"
    end,
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
      return (value:gsub(".", function(c) return (("%02x"):format(c:byte())) end))
    end,
    set_decode_hex = function(value)
      return (value:gsub("%x%x", function(pair) return (string.char(tonumber(pair, 16))) end))
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
