-- ngx.req: the request at hand.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local type, error, pairs, stock_tostring, tonumber = type, error, pairs, tostring, tonumber
local floor = math.floor
local fields = pl.part("ngx/field")
local safe, put_field, number = fields.safe, fields.put, fields.number
local head_set, head_add, head_remove, field_fast =
  C.head_set, C.head_add, C.head_remove, C.field
local REQUEST = 0
-- As in calls/table.rs.
local RAW, TOLD = 2, 4
-- More than any body has.
local UNBOUNDED = 2 ^ 53

return function(ngx, world)
  local req = {}
  ngx.req = req
  local allow, yield = world.allow, world.yield
  local request = world.request
  local READS = {
    rewrite = true, server_rewrite = true, access = true, precontent = true, content = true,
    set = true, header_filter = true, body_filter = true, log = true, balancer = true,
  }

  local function field(name)
    if field_fast(window, pl.getters[name]) == 0 then return nil end
    return (text(window.ptr, window.len))
  end
  world.field = field

  local function name_of(name)
    if type(name) == "number" then name = stock_tostring(name) end
    if type(name) ~= "string" then
      error("bad argument #1 to 'set_header' (string expected, got " .. type(name) .. ")", 3)
    end
    return safe(name)
  end

  local function put(how, name, value)
    local kind = type(value)
    if kind == "number" then
      value = number(value)
    elseif kind == "boolean" then
      value = stock_tostring(value)
    elseif kind ~= "string" then
      error("bad argument #2 to 'set_header' (string, number, or array table expected, got "
        .. kind .. ")", 3)
    end
    local refused = put_field(how, REQUEST, name, value)
    if refused then world.write_log(ngx.WARN, refused) end
  end

  function req.get_headers(max, raw)
    local at = request()
    local all, why, count = slow.head_table((raw and RAW or 0) + (at.marked and at.no_host and 0 or TOLD), max)
    if not why then return all end
    world.write_log(ngx.DEBUG,
      "lua exceeding request header limit " .. count .. " > " .. (max or 100))
    return all, why
  end

  -- A request has a host, even if its scripts do not see it any more.
  local function is_host(name) return #name == 4 and name:lower() == "host" end
  local function is_length(name) return #name == 14 and name:lower() == "content-length" end

  -- As in nginx, a request without a length has no body, if nobody has read it by then.
  local function unread(at)
    if not at.body_read then C.body_set(window, 0, "", 0) end
  end

  function req.set_header(name, value)
    local at = request()
    if value == nil then return req.clear_header(name) end
    name = name_of(name)
    -- A body's length is the gateway's own to tell; that there is none a script may say.
    if is_length(name) then
      if tonumber(value) == 0 then return unread(at) end
      return
    end
    if is_host(name) then at.no_host = nil end
    if type(value) == "table" then
      if #value == 0 then return req.clear_header(name) end
      put(head_set, name, value[1])
      for index = 2, #value do put(head_add, name, value[index]) end
      return
    end
    put(head_set, name, value)
  end

  function req.clear_header(name)
    local at = request()
    name = name_of(name)
    if is_host(name) then
      at.no_host, at.marked = true, true
      return
    end
    if is_length(name) then unread(at) end
    head_remove(window, REQUEST, name, #name)
  end

  -- Methods by the number that scripts know them by.
  local METHODS = {}
  for key, value in pairs(ngx) do
    local method = type(key) == "string" and key:match("^HTTP_(%u+)$")
    if method and type(value) == "number" and value < 65536 and value >= 2 and floor(value) == value
      and ({
        GET = 1, HEAD = 1, POST = 1, PUT = 1, DELETE = 1, MKCOL = 1, COPY = 1, MOVE = 1,
        OPTIONS = 1, PROPFIND = 1, PROPPATCH = 1, LOCK = 1, UNLOCK = 1, PATCH = 1, TRACE = 1,
      })[method] then
      METHODS[value] = method
    end
  end
  world.METHODS = METHODS

  function req.get_method()
    request()
    return field("method")
  end

  function req.set_method(number)
    request()
    if type(number) ~= "number" then error("bad method number", 2) end
    local method = METHODS[number]
    if not method then error("unsupported HTTP method: " .. number, 2) end
    C.field_set(window, pl.setters.method, method, #method)
  end

  function req.get_uri_args(max, into)
    request()
    local query = field("query")
    if not query or query == "" then
      if into then pl.table.clear(into) end
      return into or {}
    end
    return slow.args_table(query, max, into)
  end

  -- A query as a head can hold it. As a script wrote it, but for control bytes, ngx.var still shows it.
  local function hex(c) return (("%%%02X"):format(c:byte())) end
  function world.query_of(at, raw)
    raw = raw:gsub("[%z\1-\31\127]", hex)
    local query = raw:gsub("[ \128-\255#\\]", hex)
    at.raw_query, at.marked = query ~= raw and { query, raw } or nil, true
    return query
  end

  function req.set_uri_args(args)
    local at = request()
    local kind = type(args)
    if kind == "table" then
      args = ngx.encode_args(args)
    elseif kind == "number" then
      args = stock_tostring(args)
    elseif kind ~= "string" then
      error("bad argument #1 to 'set_uri_args' (string, number, or table expected, but got "
        .. kind .. ")", 2)
    end
    args = world.query_of(at, (args:gsub(" ", "%%20")))
    if args == "" then
      C.query_clear(window)
    elseif C.field_set(window, pl.setters.query, args, #args) ~= 0 then
      error(text(window.ptr, window.len), 2)
    end
  end

  -- A path as scripts write it (decoded) as a head holds it.
  function world.path_of(path)
    return (path:gsub("[%z\1-\32\127-\255#\\?%%]", function(c) return (("%%%02X"):format(c:byte())) end))
  end

  function req.set_uri(uri, jump, binary)
    local at = request()
    if type(uri) ~= "string" then
      error("bad argument #1 to 'set_uri' (string expected, got " .. type(uri) .. ")", 2)
    end
    if uri == "" then error("attempt to use zero-length uri", 2) end
    if jump ~= nil and type(jump) ~= "boolean" then
      error("bad argument #2 to 'set_uri' (boolean expected, got " .. type(jump) .. ")", 2)
    end
    local bad = uri:find("[%z\1-\31\127]")
    if bad and not binary then
      error(("unsafe byte \"0x%02x\" in uri \"%s\" (maybe you want to set the 'binary' argument?)")
        :format(uri:byte(bad), (uri:gsub("[%z\1-\31\"\\\127]", function(c)
          return (("\\x%02X"):format(c:byte()))
        end))), 2)
    end
    if jump and at.phase ~= "rewrite" and at.phase ~= "server_rewrite" then
      error("API disabled in the context of " .. at.phase .. "_by_lua*", 2)
    end
    local path = world.path_of(uri)
    if path:byte(1) ~= 47 then path = "/" .. path end
    if C.field_set(window, pl.setters.path, path, #path) ~= 0 then
      error(text(window.ptr, window.len), 2)
    end
    if jump then
      at.exit, at.exec, at.exec_query, at.jump = "exec", path, field("query"), true
      yield(pl.EXIT)
    end
  end

  -- Puts the body into a file, too, which goes with the exchange.
  local function to_file(at, level)
    at.body_file = nil
    if not slow.spill() then return end
    local path, why = yield(pl.TAKE)
    if not path then error(why, 3) end
    at.body_file, at.marked = path, true
    world.write_log(level, "a client request body is buffered to a temporary file " .. path)
  end

  -- The same where the settings want it, or the body is larger than a buffer.
  local function place(at, most)
    if at.settings.body_in_file then return to_file(at, ngx.NOTICE) end
    at.body_file = nil
    most = most or at.settings.body_buffer
    if most and most < UNBOUNDED and C.body_get(window, 0) ~= 0 and window.len > most then to_file(at, ngx.WARN) end
  end

  -- A body that scripts may replace.
  local function replaceable(at)
    if at.discarded then error("request body already discarded asynchronously", 3) end
    if not at.body_read then error("request body not read yet", 3) end
    -- A file that was given to be cleaned up goes with the body.
    if at.body_clean then
      os.remove(at.body_clean)
      at.body_clean = nil
    end
  end

  -- Bodies. The host keeps them: a script sees a string only when it asks.
  function req.read_body()
    local at = allow(READS)
    if at.body_read then return end
    local here, why = yield(pl.READ)
    at.body_read = true
    -- It is there until the end, as in nginx.
    C.body_get(window, 0)
    if not here then
      -- Who does not send its body to the end gets no answer.
      at.exit = why == "too large" and 413 or 444
      yield(pl.EXIT)
    end
    place(at)
  end

  function req.discard_body()
    local at = request()
    at.body_read, at.discarded = true, true
    C.body_set(window, 0, "", 0)
  end

  function req.get_body_data(max)
    local at = allow(READS)
    if not at.body_read or at.body_file then return nil end
    if C.body_get(window, 0) == 0 then return nil end
    if max and max > 0 and window.len > max then return (text(window.ptr, max)) end
    return (text(window.ptr, window.len))
  end

  function req.get_body_file()
    local at = allow(READS)
    return at.body_file
  end

  function req.set_body_data(data)
    local at = request()
    if type(data) == "number" then data = stock_tostring(data) end
    if type(data) ~= "string" then
      error("bad argument #1 to 'set_body_data' (string expected, got " .. type(data) .. ")", 2)
    end
    replaceable(at)
    at.body_file = nil
    C.body_set(window, 0, data, #data)
    C.body_get(window, 0)
  end

  -- The body becomes what is in a file; `io` is a grant.
  function req.set_body_file(path, clean)
    local at = request()
    if type(path) ~= "string" then
      error("bad argument #1 to 'set_body_file' (string expected, got " .. type(path) .. ")", 2)
    end
    if not pl.io then error("files are a grant of the manifest: [lua] io", 2) end
    replaceable(at)
    local file, why = pl.io.open(path, "rb")
    if not file then error(why, 2) end
    local data = file:read("*a")
    file:close()
    C.body_set(window, 0, data, #data)
    at.body_file, at.marked = path, true
    if clean then
      at.body_clean = path
      slow.passing(path)
    end
  end

  function req.init_body(size)
    local at = request()
    if size ~= nil and (type(size) ~= "number" or size <= 0) then
      error("bad argument #1 to 'init_body' (bad number)", 2)
    end
    replaceable(at)
    at.body_parts, at.body_most = {}, size
  end

  function req.append_body(data)
    local at = request()
    local parts = at.body_parts
    if not parts then error("ngx.req.init_body() must be called first", 2) end
    if type(data) == "number" then data = stock_tostring(data) end
    if type(data) ~= "string" then
      error("bad argument #1 to 'append_body' (string expected, got " .. type(data) .. ")", 2)
    end
    parts[#parts + 1] = data
  end

  function req.finish_body()
    local at = request()
    local parts = at.body_parts
    if not parts then error("ngx.req.init_body() must be called first", 2) end
    at.body_parts = nil
    local data = pl.table.concat(parts)
    C.body_set(window, 0, data, #data)
    place(at, at.body_most)
  end

  function req.get_post_args(max, into)
    local at = allow(READS)
    if not at.body_read then return nil, "no request body found" end
    if at.body_file then return nil, "request body in temp file not supported" end
    if C.body_get(window, 0) == 0 or window.len == 0 then
      if into then pl.table.clear(into) end
      return into or {}
    end
    return slow.args_table(text(window.ptr, window.len), max, into)
  end

  local VERSIONS = { ["1.0"] = 1.0, ["1.1"] = 1.1, ["2"] = 2, ["3"] = 3 }
  function req.http_version()
    request()
    return VERSIONS[field("version")]
  end

  function req.start_time()
    request()
    field_fast(window, pl.getters.started)
    return floor(window.num * 1000) / 1000
  end

  function req.is_internal()
    local at = request()
    return at.internal == true or at.parent ~= nil
  end

  function req.raw_header(no_line)
    request()
    C.raw_header(window, no_line and 1 or 0)
    return (text(window.ptr, window.len))
  end

  world.preload["ngx.req"] = function()
    return {
      _VERSION = "0.1.33",
      add_header = function(name, value)
        request()
        if type(name) ~= "string" then
          error("bad 'name' argument: string expected, got " .. type(name), 2)
        end
        local values = type(value) == "table" and value or { value }
        if value == nil or #values == 0 then
          error("bad 'value' argument: string or non-empty table expected, got "
            .. (value == nil and "nil" or "empty table"), 2)
        end
        name = name_of(name)
        for index = 1, #values do put(head_add, name, values[index]) end
      end,
    }
  end
end
