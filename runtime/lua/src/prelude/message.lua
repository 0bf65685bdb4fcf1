-- req, res, their headers, the log entry. A handle is { serial, headers or false }: it is checked
-- at each use, so that one which outlives its exchange is an error and nothing else.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local WAIT, BODY, yield = pl.WAIT, pl.BODY, pl.yield
local head_get, head_set, head_add, head_remove = C.head_get, C.head_set, C.head_add, C.head_remove
local head_at, head_nth, field, field_set = C.head_at, C.head_nth, C.field, C.field_set
local url_encode = C.url_encode
local getters, setters = pl.getters, pl.setters
local type, error, setmetatable, rawget, rawset = type, error, setmetatable, rawget, rawset
local stock_tostring, pairs, lower = tostring, pairs, string.lower

local function ended() error("this request has ended", 3) end
local function refused() error(text(window.ptr, window.len), 3) end

-- Headers: { serial, which }.
local Headers = {}

local function name_of(name)
  if type(name) ~= "string" then
    error("a header's name must be a string, not a " .. type(name), 3)
  end
  return name
end

local function value_of(value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return (stock_tostring(value)) end
  error("a header's value must be a string, a list or nil, not a " .. kind, 3)
end

local function add(h, name, value)
  if rawget(h, 1) ~= window.serial then ended() end
  name, value = name_of(name), value_of(value)
  if head_add(window, h[2], name, #name, value, #value) ~= 0 then refused() end
end

local function all(h, name)
  if rawget(h, 1) ~= window.serial then ended() end
  name = name_of(name)
  local list = {}
  while head_nth(window, h[2], name, #name, #list) ~= 0 do
    list[#list + 1] = text(window.ptr, window.len)
  end
  return list
end

function Headers.__index(h, name)
  if name == "add" then return add end
  if name == "all" then return all end
  if rawget(h, 1) ~= window.serial then ended() end
  if type(name) ~= "string" then name_of(name) end
  if head_get(window, rawget(h, 2), name, #name) == 0 then return nil end
  return (text(window.ptr, window.len))
end

function Headers.__newindex(h, name, value)
  if rawget(h, 1) ~= window.serial then ended() end
  local which = rawget(h, 2)
  if type(name) ~= "string" then name_of(name) end
  if type(value) == "string" then
    if head_set(window, which, name, #name, value, #value) ~= 0 then refused() end
  elseif value == nil then
    if head_remove(window, which, name, #name) ~= 0 then refused() end
  elseif type(value) == "table" then
    local first = value_of(value[1])
    if head_set(window, which, name, #name, first, #first) ~= 0 then refused() end
    for index = 2, #value do
      local more = value_of(value[index])
      if head_add(window, which, name, #name, more, #more) ~= 0 then refused() end
    end
  else
    local one = value_of(value)
    if head_set(window, which, name, #name, one, #one) ~= 0 then refused() end
  end
end

Headers.__metatable = "headers"

local function headers_pairs(h)
  local index = -1
  return function()
    if h[1] ~= window.serial then ended() end
    index = index + 1
    if head_at(window, h[2], index) == 0 then return nil end
    return lower(text(window.ptr, window.len)), text(window.ptr2, window.len2)
  end
end

local function headers(serial, which)
  return (setmetatable({ serial, which }, Headers))
end

-- Properties: { serial }.
local Properties = {}

function Properties.__index(p, name)
  if rawget(p, 1) ~= window.serial then ended() end
  return slow.property(name)
end

function Properties.__newindex(p, name, value)
  if rawget(p, 1) ~= window.serial then ended() end
  local ok, why = slow.property_set(name, value)
  if not ok then error(why, 2) end
end

Properties.__metatable = "properties"

local function get(id)
  local kind = field(window, id)
  if kind == 1 then return (text(window.ptr, window.len)) end
  if kind == 2 then return window.num end
  return nil
end

-- Bodies.
local function body_method(which)
  return function(m, max)
    if m[1] ~= window.serial then ended() end
    if max ~= nil and type(max) ~= "number" then error("max must be a number of bytes", 2) end
    return yield(WAIT, BODY, which, max)
  end
end

local function set_body_method(which)
  return function(m, body)
    if m[1] ~= window.serial then ended() end
    if type(body) == "number" then body = stock_tostring(body) end
    if type(body) ~= "string" then error("a body must be a string, not a " .. type(body), 2) end
    C.body_set(window, which, body, #body)
  end
end

local function json_method(which)
  return function(m, max)
    if m[1] ~= window.serial then ended() end
    local body, why = yield(WAIT, BODY, which, max)
    if not body then return nil, why end
    return slow.json_decode(body)
  end
end

-- A module's function becomes a stage of the body's way: for each chunk, or for the whole.
local function transform_method(which, whole)
  return function(m, module, name, ...)
    if m[1] ~= window.serial then ended() end
    local known = type(module) == "string" and module or pl.module_name(module)
    if not known or type(name) ~= "string" then
      error("transform takes a module and the name of its function", 2)
    end
    local index, place = slow.module_find(known, name)
    if not index then error(place, 2) end
    local placed, why = slow.transform(which, whole, index, place, ...)
    if why then error("transform: " .. why, 2) end
    -- The filter looks for stages of calls that have waited.
    if placed then yield(WAIT, pl.TAKE) end
  end
end

local methods = {}

function methods.args(r)
  if r[1] ~= window.serial then ended() end
  return slow.args()
end

local function encode(value)
  value = stock_tostring(value)
  url_encode(window, value, #value)
  return (text(window.ptr, window.len))
end

function methods.set_args(r, args)
  if r[1] ~= window.serial then ended() end
  if type(args) ~= "table" then error("set_args takes a table, not a " .. type(args), 2) end
  local keys, parts = {}, {}
  for key in pairs(args) do
    if type(key) ~= "string" and type(key) ~= "number" then error("a key must be a string", 2) end
    keys[#keys + 1] = key
  end
  pl.table.sort(keys, function(a, b) return stock_tostring(a) < stock_tostring(b) end)
  local function put(key, value)
    local kind = type(value)
    if value == true then
      parts[#parts + 1] = encode(key)
    elseif kind == "string" or kind == "number" then
      parts[#parts + 1] = encode(key) .. "=" .. encode(value)
    elseif value ~= false then
      error("argument '" .. stock_tostring(key) .. "' must be a string, not a " .. kind, 3)
    end
  end
  for index = 1, #keys do
    local key = keys[index]
    local value = args[key]
    if type(value) == "table" then
      for place = 1, #value do put(key, value[place]) end
    else
      put(key, value)
    end
  end
  if #parts == 0 then
    C.query_clear(window)
    return
  end
  local query = pl.table.concat(parts, "&")
  if field_set(window, setters.query, query, #query) ~= 0 then refused() end
end

methods.body, methods.set_body, methods.json =
  body_method(0), set_body_method(0), json_method(0)
methods.transform, methods.transform_whole = transform_method(0, false), transform_method(0, true)

-- req: method scheme host path query version id route upstream, and methods.
local Request = {}
local request_fields = {}
for _, name in ipairs {
  "method", "scheme", "host", "path", "query", "version", "id", "route", "upstream",
  "authority", "listener",
} do
  request_fields[name] = getters[name]
end

function Request.__index(r, name)
  if rawget(r, 1) ~= window.serial then ended() end
  if name == "headers" then
    local h = rawget(r, 2)
    if not h then
      h = headers(rawget(r, 1), 0)
      rawset(r, 2, h)
    end
    return h
  end
  local id = request_fields[name]
  if id then
    local kind = field(window, id)
    if kind == 1 then return (text(window.ptr, window.len)) end
    return nil
  end
  local method = methods[name]
  if method then return method end
  if name == "client" then return slow.client() end
  if name == "tls" then return slow.tls() end
  if name == "trailers" then return headers(rawget(r, 1), 2) end
  if name == "properties" then return (setmetatable({ rawget(r, 1) }, Properties)) end
  return nil
end

local assignable = { method = true, host = true, path = true, query = true, upstream = true }

function Request.__newindex(r, name, value)
  if rawget(r, 1) ~= window.serial then ended() end
  if not assignable[name] then
    error("req." .. stock_tostring(name) .. " can't be assigned", 2)
  end
  if value == nil and name == "query" then
    C.query_clear(window)
    return
  end
  if type(value) == "number" then value = stock_tostring(value) end
  if type(value) ~= "string" then
    error("req." .. name .. " must be a string, not a " .. type(value), 2)
  end
  if field_set(window, setters[name], value, #value) ~= 0 then refused() end
end

Request.__metatable = "request"

-- res: status from, and methods.
local Response = {}
local response_methods = {
  body = body_method(1), set_body = set_body_method(1), json = json_method(1),
  transform = transform_method(1, false), transform_whole = transform_method(1, true),
}

function Response.__index(r, name)
  if rawget(r, 1) ~= window.serial then ended() end
  if name == "headers" then
    local h = rawget(r, 2)
    if not h then
      h = headers(rawget(r, 1), 1)
      rawset(r, 2, h)
    end
    return h
  end
  if name == "status" then
    field(window, getters.status)
    return window.num
  end
  if name == "from" then return get(getters.from) end
  local method = response_methods[name]
  if method then return method end
  if name == "trailers" then return headers(rawget(r, 1), 3) end
  if name == "properties" then return (setmetatable({ rawget(r, 1) }, Properties)) end
  if name == "request" then return (setmetatable({ rawget(r, 1), false }, Request)) end
  return nil
end

function Response.__newindex(r, name, value)
  if rawget(r, 1) ~= window.serial then ended() end
  if name ~= "status" then error("res." .. stock_tostring(name) .. " can't be assigned", 2) end
  if type(value) ~= "number" then error("res.status must be a number", 2) end
  if C.status_set(window, value) ~= 0 then refused() end
end

Response.__metatable = "response"

-- The log entry: what is known, and what scripts add.
local Entry = {}
local entry_fields = {
  status = getters.status, duration = getters.duration, upstream_duration = getters.upstream_duration,
  started = getters.started, received = getters.received, sent = getters.sent,
  bytes = getters.sent, retries = getters.retries, from = getters.from,
  route = getters.route, upstream = getters.upstream, id = getters.id, method = getters.method,
  host = getters.host, path = getters.path, query = getters.query, scheme = getters.scheme,
  version = getters.version, listener = getters.listener,
}

function Entry.__index(e, name)
  if rawget(e, 1) ~= window.serial then ended() end
  local own = rawget(e, 2)
  if own and own[name] ~= nil then return own[name] end
  if name == "client" then return slow.client().address end
  if name == "properties" then return (setmetatable({ rawget(e, 1) }, Properties)) end
  if name == "request" then return (setmetatable({ rawget(e, 1), false }, Request)) end
  if name == "response" then return (setmetatable({ rawget(e, 1), false }, Response)) end
  local id = entry_fields[name]
  return id and get(id)
end

function Entry.__newindex(e, name, value)
  if rawget(e, 1) ~= window.serial then ended() end
  local own = rawget(e, 2)
  if not own then
    own = {}
    rawset(e, 2, own)
  end
  local ok, why = slow.log_field(name, value)
  if not ok then error("log entry: " .. why, 2) end
  own[name] = value
end

Entry.__metatable = "entry"

local function fields_pairs(names)
  return function(handle)
    local name
    return function()
      name = next(names, name)
      if name ~= nil then return name, handle[name] end
    end
  end
end

-- Names as tables of fields have them, by how scripts spell them: few are ever asked for, and most
-- often for a field that is not there.
local SPELLINGS_MAX, SPELLING_MAX = 256, 64
local spelled, spellings = {}, 0
local function plain_of(name)
  local plain = spelled[name]
  if plain then return plain end
  plain = pl.string.gsub(lower(name), "_", "-")
  if #name > SPELLING_MAX then return plain end
  if spellings == SPELLINGS_MAX then spelled, spellings = {}, 0 end
  spelled[name], spellings = plain, spellings + 1
  return plain
end

-- Of tables of fields: names are looked up in any case, and with `_` for `-`.
pl.fields = {
  __index = function(fields, name)
    if type(name) ~= "string" then return nil end
    local plain = plain_of(name)
    if plain == name then return nil end
    return (rawget(fields, plain))
  end,
}

-- pairs for handles, by what getmetatable shows of them.
pl.pairs_of = {
  headers = headers_pairs,
  request = fields_pairs(request_fields),
  response = fields_pairs { status = true, from = true },
  entry = fields_pairs(entry_fields),
}
pl.request, pl.response, pl.entry = Request, Response, Entry
