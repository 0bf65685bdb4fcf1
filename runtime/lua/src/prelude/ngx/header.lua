-- ngx.header, ngx.resp: the response's fields, before there is a response, too.
local pl = ...
local C, window, text, slow = pl.C, pl.window, pl.text, pl.slow
local type, error, setmetatable, stock_tostring = type, error, setmetatable, tostring
local fields = pl.part("ngx/field")
local RESPONSE = 1
-- As in calls/table.rs.
local OF_RESPONSE, RAW, TOLD = 1, 2, 4

-- Fields that hold one value, whatever a script hands over.
local SINGLE = {
  ["content-type"] = true, ["content-length"] = true, ["location"] = true, ["etag"] = true,
  ["last-modified"] = true, ["server"] = true, ["date"] = true, ["content-encoding"] = true,
  ["expires"] = true, ["accept-ranges"] = true, ["content-range"] = true,
}

return function(ngx, world)
  local state, request = world.state, world.request

  local function name_of(name, level)
    if type(name) == "number" then name = stock_tostring(name) end
    if type(name) ~= "string" then
      error("bad argument #1 to 'header' (string expected, got " .. type(name) .. ")", level)
    end
    if state().settings.header_underscores ~= true then name = fields.dashed(name) end
    return name
  end

  local function put(how, name, value, level)
    local kind = type(value)
    if kind == "number" then
      value = fields.number(value)
    elseif kind == "boolean" then
      value = stock_tostring(value)
    elseif kind ~= "string" then
      error("invalid header value type: " .. kind, level)
    end
    local refused = fields.put(how, RESPONSE, name, value)
    if refused then world.write_log(ngx.WARN, refused) end
  end

  local function set(name, value)
    local at = request(4)
    if at.sent and at.phase ~= "header_filter" then
      world.write_log(ngx.ERR, "attempt to set ngx.header." .. name:gsub("-", "_")
        .. " after sending out response headers")
      return
    end
    local lower = fields.lower(name)
    if lower == "content-length" then
      local length = value == nil and -1 or tonumber(value)
      if not length or length % 1 ~= 0 then
        error("failed to set header content-length (" .. stock_tostring(value) .. ")", 4)
      end
      C.length_set(window, length)
      at.length = length >= 0 and length or nil
      return
    end
    if type(value) == "table" then
      if #value == 0 then value = nil
      elseif SINGLE[lower] then value = value[#value] end
    end
    name = fields.safe(name)
    if value == nil then
      C.head_remove(window, RESPONSE, name, #name)
      if lower == "date" then C.dateless(window) end
    elseif type(value) == "table" then
      put(C.head_set, name, value[1], 5)
      for index = 2, #value do put(C.head_add, name, value[index], 5) end
    else
      put(C.head_set, name, value, 5)
    end
  end

  local function get(name)
    local at = request(4)
    local lower = fields.lower(name)
    if lower == "content-length" then
      if at.length then return (("%d"):format(at.length)) end
      local length = C.length(window)
      if length < 0 then return nil end
      return (("%d"):format(length))
    end
    local first = C.head_nth(window, RESPONSE, name, #name, 0)
    if first == 0 then return nil end
    local value = text(window.ptr, window.len)
    if C.head_nth(window, RESPONSE, name, #name, 1) == 0 then return value end
    local list = { value, text(window.ptr, window.len) }
    while C.head_nth(window, RESPONSE, name, #name, #list) ~= 0 do
      list[#list + 1] = text(window.ptr, window.len)
    end
    return list
  end

  ngx.header = setmetatable({}, {
    __index = function(_, name) return get(name_of(name, 3)) end,
    __newindex = function(_, name, value) return set(name_of(name, 3), value) end,
  })

  ngx.resp = {}
  function ngx.resp.get_headers(max, raw)
    local at = request()
    local chunked = at.sent and at.phase ~= "header_filter"
    local all, why, count = slow.head_table(OF_RESPONSE + (raw and RAW or 0) + (chunked and TOLD or 0), max)
    if not why then return all end
    world.write_log(ngx.DEBUG,
      "lua exceeding response header limit " .. count .. " > " .. (max or 100))
    return all, why
  end

  world.preload["ngx.resp"] = function()
    return {
      _VERSION = "0.1.33",
      add_header = function(name, value)
        local at = request()
        if at.sent and at.phase ~= "header_filter" then
          world.write_log(ngx.ERR, "attempt to set ngx.header." .. name
            .. " after sending out response headers")
          return
        end
        if type(value) == "table" then
          if #value == 0 then return end
        else
          value = { value }
        end
        if type(name) ~= "string" then
          error("bad 'name' argument: string expected, got " .. type(name), 2)
        end
        if SINGLE[name:lower()] then return set(name, value[#value]) end
        for index = 1, #value do put(C.head_add, name, value[index], 3) end
      end,
      set_status = function(status, reason)
        local at = request()
        if type(status) ~= "number" then
          error("bad 'status' argument: number expected, got " .. type(status), 2)
        end
        if reason ~= nil and type(reason) ~= "string" then
          error("bad 'reason' argument: string expected, got " .. type(reason), 2)
        end
        ngx.status = status
        if not reason or at.status ~= status then return end
        at.reason = reason
        if at.phase == "header_filter" then C.status_put(window, status, reason, #reason) end
      end,
      bypass_if_checks = function() request().unconditional = true end,
    }
  end
end
