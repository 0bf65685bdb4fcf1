-- What a script writes: ngx.say, ngx.print, ngx.flush, ngx.eof, ngx.send_headers, ngx.status.
local pl = ...
local C, window, slow = pl.C, pl.window, pl.slow
local type, error, select, stock_tostring, next = type, error, select, tostring, next
local buffer = require "string.buffer"

-- Answers of `C.out`.
local FULL, LOST = 1, -1

-- The text of a value as ngx.say writes it; tables are lists of such values, however deep.
local function put(out, value, index, name)
  local kind = type(value)
  if kind == "string" then
    out:put(value)
  elseif kind == "number" or kind == "nil" or kind == "boolean" then
    out:put(stock_tostring(value))
  elseif kind == "userdata" and value == pl.null then
    out:put("null")
  elseif kind == "table" then
    local count = #value
    for key in next, value do
      if type(key) ~= "number" or key < 1 or key % 1 ~= 0 or key > count then
        error("bad argument #" .. index .. " to '" .. name .. "' (non-array table found)", 4)
      end
    end
    for at = 1, count do put(out, value[at], index, name) end
  else
    error("bad argument #" .. index .. " to '" .. name .. "' (string, number, boolean, nil, "
      .. "ngx.null, or array table expected, but got " .. kind .. ")", 4)
  end
end

local function text_of(name, ending, ...)
  local count = select("#", ...)
  if count == 1 then
    local value = ...
    local kind = type(value)
    if kind == "string" or kind == "number" then return value .. ending end
  end
  local out = buffer.new()
  for index = 1, count do put(out, select(index, ...), index, name) end
  return out:put(ending):get()
end

return function(ngx, world)
  local allow, request, state = world.allow, world.request, world.state
  local yield, ANSWER = world.yield, world.ANSWER

  -- The request's conditions want another answer than the script's.
  local function refuse(at, code)
    at.refused, at.eof, at.status = true, true, code
    C.out_drop(window)
    C.head_remove(window, 1, "Content-Type", 12)
    if code == 412 then C.head_set(window, 1, "Content-Type", 12, "text/html", 9) end
    C.out_begin(window, code)
    if code == 412 then
      local text = slow.page(code)
      C.out(window, text, #text)
      C.out_stock(window)
    end
    C.out_end(window)
  end

  -- Fixes the head, so that the body can follow.
  local function send_head(at, status)
    at.sent, at.held, at.marked = true, nil, true
    at.status = status or at.status or 200
    local default = at.settings.default_type
    if default and at.settings.use_default_type ~= false and at.status ~= 204 and at.status ~= 304
      and C.head_get(window, 1, "Content-Type", 12) == 0 then
      C.head_set(window, 1, "Content-Type", 12, default, #default)
    end
    if at.status == 200 and not at.parent and not at.unconditional then
      local code = C.conditional(window)
      if code ~= 0 then return refuse(at, code) end
    end
    C.out_begin(window, at.status)
    if at.reason then C.status_put(window, at.status, at.reason, #at.reason) end
  end
  world.send_head = send_head

  -- The text of a list that a filter of bodies puts in a chunk's place.
  function world.flatten(list) return text_of("body_filter", "", list) end

  local function write(name, ending, ...)
    local at = allow(ANSWER, 4)
    if at.raw then return nil, "raw request socket acquired" end
    if at.eof then return nil, "seen eof" end
    local text = text_of(name, ending, ...)
    if not at.sent and not at.held then
      -- An answer to HTTP/1.0 waits until its length is known.
      if at.settings.http10_buffering ~= false and C.out_hold(window) ~= 0 then
        at.held, at.marked = true, true
      else
        send_head(at)
        if at.refused then return nil, "nginx output filter error" end
      end
    end
    local took = C.out(window, text, #text)
    if took == LOST then return nil, "nginx output filter error" end
    if world.cuts and not at.held then C.out_cut(window) end
    if took == FULL then
      if at.held then error("too large an answer to be held back for HTTP/1.0", 3) end
      slow.out_drained()
      yield(pl.TAKE)
    end
    return 1
  end

  function ngx.say(...) return write("say", "\n", ...) end
  function ngx.print(...) return write("print", "", ...) end

  function ngx.send_headers()
    local at = allow(ANSWER)
    if at.raw then return nil, "raw request socket acquired" end
    if not at.sent and not at.held then
      send_head(at)
      -- The filters of the head run now, so that the script sees what they did.
      slow.out_drained()
      yield(pl.TAKE)
    end
    return 1
  end

  function ngx.flush(wait)
    local at = allow(ANSWER)
    if at.raw then return nil, "raw request socket acquired" end
    if at.eof then return nil, "seen eof" end
    if at.held then return nil, "buffering" end
    if not at.sent then return nil, "nothing to flush" end
    -- What was written leaves when the script waits for anything.
    if wait then
      slow.out_drained()
      yield(pl.TAKE)
    end
    return 1
  end

  function ngx.eof()
    local at = allow(ANSWER)
    if at.raw then return nil, "raw request socket acquired" end
    if at.eof then return nil, "seen eof" end
    if not at.sent then send_head(at) end
    at.eof = true
    if C.out_end(window) == LOST then return nil, "nginx output filter error" end
    return 1
  end

  function world.get.headers_sent()
    local at = state()
    return at.sent == true and at.phase ~= "header_filter"
  end

  function world.get.status()
    local at = request(4)
    if at.status then return at.status end
    C.field(window, pl.getters.status)
    return window.num
  end

  function world.set.status(status)
    local at = request(4)
    if type(status) ~= "number" then status = tonumber(status) end
    if not status then error("number expected, got nil", 4) end
    at.reason = nil
    if at.phase == "header_filter" then
      at.status = status
      C.status_put(window, status, "", 0)
      return
    end
    if at.sent then
      world.write_log(ngx.ERR,
        "attempt to set ngx.status after sending out response headers")
      return
    end
    at.status = status
  end

  function world.get.is_subrequest()
    return state().parent ~= nil
  end

  -- nginx's own page for a status, when a script ends with one and has written nothing.
  function world.page(at, status)
    if at.held then
      C.out_drop(window)
      at.held = nil
    end
    -- Whoever asked for this by a subrequest has pages of its own.
    local bare = status == 304 or status == 204 or at.parent ~= nil
    if not bare then ngx.header.content_type = "text/html" end
    send_head(at, status)
    if bare then return end
    local text = slow.page(status)
    C.length_set(window, #text)
    C.out(window, text, #text)
    C.out_stock(window)
  end
end
