-- Ways out of a phase: ngx.exit, ngx.redirect, ngx.exec; ngx.get_phase, ngx.on_abort.
local pl = ...
local type, error, select, tostring = type, error, select, tostring

-- Where ngx.exit ends the phase at once; elsewhere it returns, as in OpenResty.
local ENDS = {
  server_rewrite = true, rewrite = true, access = true, precontent = true, content = true,
  timer = true, ssl_cert = true, ssl_client_hello = true, ssl_session_fetch = true,
  proxy_ssl_cert = true, proxy_ssl_verify = true,
}
-- Codes that break an exchange off, whatever is pending.
local ABORTS = { [-1] = true, [408] = true, [444] = true, [499] = true }
local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

return function(ngx, world)
  local allow, state, yield = world.allow, world.state, world.yield

  -- Ends the phase with a code: no code of the script runs after this.
  local function leave(at, code)
    if (at.asking or 0) > 0 and not ABORTS[code] then
      -- Only tail calls lead here: the script is at level 2.
      error("attempt to abort with pending subrequests", 2)
    end
    at.exit = code
    yield(pl.EXIT)
    error("unreachable", 0)
  end

  function ngx.exit(code)
    if type(code) ~= "number" then
      error("bad argument #1 to 'exit' (number expected, got " .. type(code) .. ")", 2)
    end
    if code == ngx.AGAIN or code == ngx.DONE then
      error("bad argument to 'ngx.exit': does not accept NGX_AGAIN or NGX_DONE", 2)
    end
    local at = state()
    if ENDS[at.phase] then
      if at.sent and code >= 300 and not ABORTS[code] and at.phase ~= "timer" then
        if code ~= at.status then
          world.write_log(ngx.ERR, "attempt to set status " .. code
            .. " via ngx.exit after sending out the response status " .. (at.status or 0))
        end
        code = 0
      end
      return leave(at, code)
    end
    if at.phase == "header_filter" or at.phase == "balancer" or at.phase == "ssl_session_store" then
      at.exit_code = code
      return
    end
    allow({}, 3)
  end

  function ngx.redirect(uri, status)
    if status == nil then status = 302 end
    local at = allow(world.ANSWER)
    if not REDIRECTS[status] then
      error("only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, "
        .. "ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed", 2)
    end
    if type(uri) == "number" then uri = tostring(uri) end
    if type(uri) ~= "string" then
      error("bad argument #1 to 'redirect' (string expected, got " .. type(uri) .. ")", 2)
    end
    if at.sent then error("attempt to call ngx.redirect after sending out the headers", 2) end
    local bad = uri:find("[%z\1-\31\127]")
    if bad then
      error(("unsafe byte \"0x%02x\" in redirect uri \"%s\""):format(uri:byte(bad),
        (uri:gsub("[%z\1-\31\"\\\127]", function(c) return (("\\x%02X"):format(c:byte())) end))), 2)
    end
    ngx.header.Location = uri
    return leave(at, status)
  end

  function ngx.exec(uri, args, ...)
    if select("#", ...) > 0 then
      error("expecting one or two arguments, but got " .. (select("#", ...) + 2), 2)
    end
    if type(uri) == "number" then uri = tostring(uri) end
    if type(uri) ~= "string" then
      error("bad argument #1 to 'exec' (string expected, got " .. type(uri) .. ")", 2)
    end
    if uri == "" then error("The uri argument is empty", 2) end
    local at = allow(world.ANSWER)
    if at.sent then error("attempt to call ngx.exec after sending out response headers", 2) end
    local query
    if uri:byte(1) ~= 64 then
      local mark = uri:find("?", 1, true)
      if mark then uri, query = uri:sub(1, mark - 1), uri:sub(mark + 1) end
      uri = world.path_of(uri)
    end
    if args ~= nil then
      local kind = type(args)
      if kind == "table" then
        args = ngx.encode_args(args)
      elseif kind == "number" then
        args = tostring(args)
      elseif kind ~= "string" then
        error("bad argument #2 to 'exec' (string, number, or table expected, but got " .. kind .. ")", 2)
      end
      query = world.query_of(at, query and query .. "&" .. args or args)
    end
    at.exec, at.exec_query = uri, query
    return leave(at, "exec")
  end

  function ngx.get_phase()
    return state().phase
  end

  function ngx.on_abort(callback)
    local at = allow({ rewrite = true, access = true, content = true, server_rewrite = true, precontent = true })
    if type(callback) ~= "function" then
      error("bad argument #1 to 'on_abort' (function expected, got " .. type(callback) .. ")", 2)
    end
    if at.settings.check_client_abort == false then
      return nil, "lua_check_client_abort is off"
    end
    if at.on_abort then return nil, "duplicate call" end
    at.on_abort = callback
    return 1
  end
end
