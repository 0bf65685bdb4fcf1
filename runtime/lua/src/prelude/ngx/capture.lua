-- ngx.location.capture, ngx.location.capture_multi: requests to the gateway's own routes.
local pl = ...
local slow = pl.slow
local type, error, pairs, stock_tostring, unpack, next, setmetatable =
  type, error, pairs, tostring, unpack, next, setmetatable

return function(ngx, world)
  local location = {}
  ngx.location = location
  local PHASES = {
    rewrite = true, server_rewrite = true, access = true, precontent = true, content = true,
    header_filter = true, body_filter = true, log = true,
  }

  -- What subrequests begin with, by a number that they carry.
  local handed, last = {}, 0
  world.handed = handed

  local function options_of(at, uri, options)
    if type(uri) == "number" then uri = stock_tostring(uri) end
    if type(uri) ~= "string" then
      error("bad argument #1 to 'capture' (string expected, got " .. type(uri) .. ")", 4)
    end
    if uri == "" then error("unsafe uri in argument #1: ", 4) end
    if uri:find("%.%.") then error("unsafe uri in argument #1: " .. uri, 4) end
    if options ~= nil and type(options) ~= "table" then
      error("bad argument #2 to 'capture' (table expected, got " .. type(options) .. ")", 4)
    end
    options = options or {}
    local query
    local mark = uri:find("?", 1, true)
    if mark then uri, query = uri:sub(1, mark - 1), uri:sub(mark + 1) end
    local args = options.args
    if args ~= nil then
      local kind = type(args)
      if kind == "table" then
        args = ngx.encode_args(args)
      elseif kind ~= "string" and kind ~= "number" then
        error("Bad args option type: " .. kind, 4)
      end
      if args ~= "" then query = query and query ~= "" and query .. "&" .. args or stock_tostring(args) end
    end
    local method = options.method
    if method ~= nil then
      if type(method) ~= "number" then error("Bad http request method", 4) end
      local name = world.METHODS[method]
      if not name then error("unsupported HTTP method: " .. method, 4) end
      method = name
    end
    local body = options.body
    if body ~= nil then
      if type(body) == "number" then body = stock_tostring(body) end
      if type(body) ~= "string" then error("Bad http request body", 4) end
    end
    if uri:byte(1) ~= 47 and uri:byte(1) ~= 64 then uri = "/" .. uri end
    local headers = options.headers
    if headers ~= nil and type(headers) ~= "table" then error("Bad headers option value", 4) end
    local given = {}
    if options.ctx ~= nil then
      if type(options.ctx) ~= "table" then
        error("Bad ctx option value type " .. type(options.ctx) .. ", expected a Lua table", 4)
      end
      given.ctx = options.ctx
    end
    if options.share_all_vars then
      given.vars = world.vars_of(at)
    elseif options.copy_all_vars then
      local copy = {}
      for name, value in pairs(world.vars_of(at)) do copy[name] = value end
      given.vars = copy
    end
    if options.vars ~= nil then
      if type(options.vars) ~= "table" then
        error("Bad vars option value: table expected", 4)
      end
      for name in pairs(options.vars) do world.assignable(name, 4) end
      given.over = options.vars
    end
    last = last + 1
    handed[last] = given
    return {
      path = world.path_of(uri), query = query, headers = headers, method = method or "GET", body = body,
      keep_body = body == nil and (options.always_forward_body or false)
        or body == nil and method ~= nil and method ~= "GET" and method ~= "HEAD",
      state = last,
    }
  end

  -- Fields of an answer are found in any case.
  local Fields = {
    __index = function(fields, name)
      if type(name) ~= "string" then return nil end
      local plain = name:lower():gsub("_", "-")
      for key, value in next, fields do
        if key:lower() == plain then return value end
      end
      return nil
    end,
  }

  local function result(answer, why)
    if not answer then
      world.write_log(ngx.ERR, why)
      return { status = 502, header = {}, body = "", truncated = true }
    end
    setmetatable(answer.header, Fields)
    return answer
  end

  local function one(at, uri, options)
    local request = options_of(at, uri, options)
    slow.subrequest(request)
    at.asking = (at.asking or 0) + 1
    local answer, why = world.yield(pl.TAKE)
    at.asking = at.asking - 1
    handed[request.state] = nil
    return result(answer, why)
  end

  function location.capture(uri, options)
    local at = world.allow(PHASES)
    return one(at, uri, options)
  end

  function location.capture_multi(list)
    local at = world.allow(PHASES)
    if type(list) ~= "table" then
      error("bad argument #1 to 'capture_multi' (table expected, got " .. type(list) .. ")", 2)
    end
    local count = #list
    if count == 0 then error("at least one subrequest should be specified", 2) end
    local results, ids, requests = {}, {}, {}
    for index = 1, count do
      local entry = list[index]
      if type(entry) ~= "table" then
        error("The query argument " .. index .. " is not a table, but a " .. type(entry), 2)
      end
      requests[index] = options_of(at, entry[1], entry[2])
    end
    local function run(index)
      slow.subrequest(requests[index])
      results[index] = result(world.yield(pl.TAKE))
      handed[requests[index].state] = nil
    end
    at.asking = (at.asking or 0) + count
    for index = 1, count do ids[index] = world.yield(pl.START, run, index) end
    for index = 1, count do
      if ids[index] then world.yield(pl.ANY, ids[index]) else run(index) end
    end
    at.asking = at.asking - count
    return unpack(results, 1, count)
  end
end
