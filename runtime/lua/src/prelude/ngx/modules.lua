-- Modules that libraries require for what is there already: resty.core and its parts, `ngx`'s own.
local pl = ...
local pairs, setmetatable, type, error = pairs, setmetatable, type, error

local PARTS = {
  "base64", "ctx", "exit", "hash", "misc", "ndk", "phase", "request", "response", "regex",
  "shdict", "time", "uri", "utils", "var", "worker", "coroutine", "param", "socket", "socket.tcp",
}

-- Memory to work in, for those who may use `ffi`.
local function buffers(base, new)
  local size, buffer = 4096, nil
  function base.get_string_buf(wanted, must_alloc)
    if must_alloc or wanted > size then return new("char[?]", wanted) end
    buffer = buffer or new("char[?]", size)
    return buffer
  end
  function base.get_string_buf_size() return size end
  function base.set_string_buf_size(wanted) size, buffer = wanted, nil end
  local length, message = new "size_t[1]", new "char *[1]"
  function base.get_size_ptr() return length end
  function base.get_errmsg_ptr() return message end
end

return function(ngx, world)
  local preload = world.preload
  local version = "0.1.33"

  preload["resty.core"] = function() return { version = version } end
  for index = 1, #PARTS do
    local name = "resty.core." .. PARTS[index]
    if not preload[name] then
      preload[name] = function() return { version = version } end
    end
  end

  preload["resty.core.base"] = function()
    local new = require "table.new"
    local base = {
      version = version,
      FFI_OK = 0, FFI_ERROR = -1, FFI_AGAIN = -2, FFI_BUSY = -3, FFI_DONE = -4, FFI_DECLINED = -5,
      FFI_BAD_CONTEXT = -100, FFI_NO_REQ_CTX = -101,
      new_tab = new,
      clear_tab = pl.table.clear,
      -- What stands for nginx's request: the serial of the exchange, nil while there is none.
      get_request = function()
        local serial = pl.window.serial
        if serial == 0 then return nil end
        return serial
      end,
      get_string_buf_size = function() return 4096 end,
      set_string_buf_size = function() end,
      allows_subsystem = function(...)
        for index = 1, select("#", ...) do
          if select(index, ...) == "http" then return end
        end
        error("unsupported subsystem: http", 2)
      end,
    }
    if pl.ffi then buffers(base, pl.ffi.new) end
    return base
  end

  preload["table.new"] = function() return world.G.table.new end
  preload["table.clear"] = function() return world.G.table.clear end

  preload["ngx.balancer"] = function()
    return pl.part("ngx/balancer")(ngx, world)
  end
end
