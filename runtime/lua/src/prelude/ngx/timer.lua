-- ngx.timer: functions that run beside all exchanges.
local pl = ...
local slow = pl.slow
local type, error, tonumber, getinfo = type, error, tonumber, debug.getinfo

return function(ngx, world)
  local timer = {}
  ngx.timer = timer

  local function run(fn, settings, ...)
    local most = world.timers.running
    local _, running = slow.task_counts()
    if running > most then
      local info = getinfo(fn, "S")
      return world.write_log(ngx.ALERT, ("lua failed to run timer with function defined at %s:%d: %d %s")
        :format(info.source, info.linedefined, most, "lua_max_running_timers are not enough"))
    end
    -- The state is held by this function as long as it runs.
    local at = world.begin("timer", settings)
    at.premature = slow.exiting()
    fn(at.premature, ...)
    if at.spawned then world.yield(pl.OTHERS) end
  end

  local function start(name, delay, repeats, fn, ...)
    delay = tonumber(delay)
    if not delay then error("bad argument #1 to '" .. name .. "' (number expected)", 3) end
    if repeats and delay <= 0 then error("delay must be greater than 0", 3) end
    if delay < 0 then error("delay must not be negative", 3) end
    if type(fn) ~= "function" then
      error("bad argument #2 to '" .. name .. "' (function expected, got " .. type(fn) .. ")", 3)
    end
    local at = world.state()
    if at.phase == "exit_worker" then
      error("API disabled in the context of exit_worker_by_lua*", 3)
    end
    if slow.exiting() then return nil, "process exiting" end
    if slow.task_counts() >= world.timers.pending then return nil, "too many pending timers" end
    local id, why = slow.task_start(delay, repeats and delay, true, run, fn, at.settings, ...)
    if not id then return nil, why == "too many tasks" and "too many pending timers" or why end
    return id
  end

  function timer.at(delay, fn, ...) return start("at", delay, false, fn, ...) end
  function timer.every(delay, fn, ...) return start("every", delay, true, fn, ...) end
  function timer.running_count() return (select(2, slow.task_counts())) end
  function timer.pending_count() return (slow.task_counts()) end

  -- Beyond OpenResty: a timer that has not run yet, or that repeats, can be given up.
  function timer.cancel(id)
    if type(id) ~= "number" then error("bad argument #1 to 'cancel' (number expected)", 2) end
    return slow.task_cancel(id)
  end
end
