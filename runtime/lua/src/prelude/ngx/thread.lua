-- Light threads and the coroutines of scripts.
local pl = ...
local slow = pl.slow
local running, stock_status = coroutine.running, coroutine.status
local type, error, setmetatable, select, unpack, xpcall =
  type, error, setmetatable, select, unpack, xpcall

return function(ngx, world)
  local state, yield = world.state, world.yield
  local YIELDS = {
    rewrite = true, server_rewrite = true, access = true, precontent = true, content = true,
    timer = true, header_filter = true, body_filter = true, log = true, balancer = true,
    ssl_cert = true, ssl_client_hello = true, ssl_session_fetch = true, set = true,
    ssl_session_store = true, proxy_ssl_cert = true, proxy_ssl_verify = true,
  }

  -- Light threads by their coroutine: { id, parent, ended, gone, results }.
  local threads = setmetatable({}, { __mode = "k" })
  local thread = {}
  ngx.thread = thread

  local function keep(info, ok, ...)
    info.ended = true
    info.count = select("#", ...) + 1
    info.results = { ok, ... }
    if not ok and not info.gone then
      local why = ...
      world.write_log(ngx.ERR, "lua user thread aborted: runtime error: " .. pl.tostring(info.trace or why))
    end
  end

  -- Runs a function whose failure is its own affair.
  function world.alone(fn)
    local trace
    local ok, why = xpcall(fn, function(why)
      trace = type(why) == "string" and world.traceback(why, 2) or why
      return why
    end)
    if not ok then
      world.write_log(ngx.ERR, "lua user thread aborted: runtime error: " .. pl.tostring(trace or why))
    end
  end

  local function body(info, fn, ...)
    local co = running()
    threads[co], info.co = info, co
    keep(info, xpcall(fn, function(why)
      if type(why) == "string" then info.trace = world.traceback(why, 2) end
      return why
    end, ...))
    -- What it started itself goes on; it ends with its own function.
  end

  function thread.spawn(fn, ...)
    local at = world.allow(YIELDS)
    if type(fn) ~= "function" then
      error("bad argument #1 to 'spawn' (function expected, got " .. type(fn) .. ")", 2)
    end
    local info = { parent = running() }
    at.spawned, at.marked = true, true
    local id, co = yield(pl.START, body, info, fn, ...)
    if not id then error(co, 2) end
    info.id = id
    return info.co
  end

  local function checked(co, index, name)
    local info = type(co) == "thread" and threads[co]
    if type(co) ~= "thread" then
      error("bad argument #" .. index .. " to '" .. name .. "' (coroutine expected)", 3)
    end
    return info
  end

  function thread.wait(...)
    local count = select("#", ...)
    if count == 0 then error("at least one coroutine should be specified", 2) end
    local me, ids = running(), {}
    for index = 1, count do
      local info = checked((select(index, ...)), index, "wait")
      if not info then
        error("attempt to wait on a coroutine that is not a user thread", 2)
      end
      if info.parent ~= me then
        error("only the parent coroutine can wait on the thread", 2)
      end
      if info.gone then return nil, "already waited or killed" end
      if info.ended then
        info.gone = true
        return unpack(info.results, 1, info.count)
      end
      ids[index] = info.id
    end
    while true do
      yield(pl.ANY, unpack(ids, 1, count))
      for index = 1, count do
        local info = threads[select(index, ...)]
        if info.ended then
          info.gone = true
          return unpack(info.results, 1, info.count)
        end
      end
    end
  end

  function thread.kill(co)
    local info = checked(co, 1, "kill")
    if not info then return nil, "not user thread" end
    if info.parent ~= running() then return nil, "killer not parent" end
    if info.gone then return nil, "already waited or killed" end
    if info.ended then return nil, "already terminated" end
    info.gone = true
    yield(pl.KILL, info.id)
    return 1
  end

  -- A function of a module on a thread beside the workers, which a pool of `[lua] threads` has.
  function ngx.run_worker_thread(...)
    world.allow(YIELDS)
    if select("#", ...) < 3 then return false, "expecting at least 3 arguments" end
    local pool, module, name = ...
    if type(pool) ~= "string" then return false, "threadpool should be a string" end
    if not slow.has_pool(pool) then return false, "thread pool " .. pool .. " not found" end
    if type(module) ~= "string" then return false, "module name should be a string" end
    if type(name) ~= "string" then return false, "function name should be a string" end
    local sent, why = slow.aside(...)
    if not sent then return false, why end
    return yield(pl.TAKE)
  end

  -- As the script's own coroutines, but that a light thread may yield, which gives others a turn.
  local stock = pl.coroutine
  local own = {}
  for name, value in pairs(stock) do own[name] = value end

  function own.running() return running() end

  function own.status(co)
    local info = type(co) == "thread" and threads[co]
    if info then
      if info.gone then return "dead" end
      if info.ended then return "zombie" end
      if co == running() then return "running" end
      -- It waits for the host, not for a script: that is running to OpenResty.
      return (pl.within[co] or stock_status(co) == "normal") and "normal" or "running"
    end
    if co == running() then return "running" end
    return stock.status(co)
  end

  function own.yield(...)
    if stock.running() then return stock.yield(...) end
    world.allow(YIELDS)
    yield(pl.YIELD)
  end

  function own.isyieldable() return YIELDS[state().phase] == true end

  world.coroutine = own

  function ngx.sleep(seconds)
    if type(seconds) ~= "number" then
      seconds = tonumber(seconds)
      if not seconds then error("bad argument #1 to 'sleep' (number expected)", 2) end
    end
    if seconds < 0 then error("invalid sleep duration \"" .. seconds .. "\"", 2) end
    world.allow(YIELDS)
    if seconds == 0 then return yield(pl.TURN) end
    yield(pl.SLEEP, seconds)
  end
end
